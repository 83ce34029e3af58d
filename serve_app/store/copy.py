"""Answers as the text of a COPY, a few listeners at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from serve_app.history import Shown

# Playlists whose text is kept for the next answer that shows them; a table has as many as a model version.
NAMES = 50_000
TABLES = 4
_SPECIAL = re.compile(r"[\\\t\n\r\0\ud800-\udfff]")
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


class Encoder:
    """Turns columns into lines. Remembers how playlist ids are written, since most are shown often."""

    def __init__(self) -> None:
        self._tables: dict[int, tuple[Sequence[str], dict[int, str]]] = {}

    def encode(self, answers: Sequence[Shown], at_once: int) -> Iterator[bytes]:
        """Lines for COPY impressions, in parts of about `at_once` listeners."""
        lines: list[str] = []
        for shown in answers:
            names = self._names(shown.playlist_ids)
            head = f"{shown.at.isoformat()}\t"
            tail = f"\t{escaped(shown.model_version)}\t{escaped(shown.arm)}\t"
            for at, user_id in enumerate(shown.user_ids):
                listed = ",".join(self._listed(shown, at, names))
                source = shown.sources[at].name.lower()
                who = f"{escaped(shown.recommendation_ids[at])}\t{escaped(user_id)}"
                lines.append(f"{head}{who}\t{{{listed}}}{tail}{source}\n")
                if len(lines) >= at_once:
                    yield "".join(lines).encode()
                    lines = []
        if lines:
            yield "".join(lines).encode()

    @staticmethod
    def clean(text: str) -> str:
        """The text as it is stored: Postgres holds neither NUL nor halves of surrogate pairs."""
        return re.sub(r"[\0\ud800-\udfff]", "\ufffd", text)

    def _names(self, table: Sequence[str]) -> dict[int, str]:
        found = self._tables.get(id(table))
        if found is None or len(found[1]) > NAMES:
            if found is None and len(self._tables) >= TABLES:
                self._tables.clear()
            # The table is kept beside its names, so that no other one can get its id.
            found = self._tables[id(table)] = (table, {})
        return found[1]

    @staticmethod
    def _listed(shown: Shown, at: int, names: dict[int, str]) -> Iterator[str]:
        for row in shown.rows[at, : shown.counts[at]].tolist():
            name = names.get(row)
            if name is None:
                name = names[row] = quoted(shown.playlist_ids[row])
            yield name


def escaped(text: str) -> str:
    """One column of COPY's text format."""
    if not _SPECIAL.search(text):
        return text
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], "\ufffd"), text)


def quoted(text: str) -> str:
    """One element of an array in COPY's text format: quoted for the array, then escaped for the column."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return escaped(f'"{inner}"')
