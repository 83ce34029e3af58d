"""Answers as the bytes of a binary COPY, many lists at a time (measured in docs/adr/0016)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.ranking.query import Source
from spotify_buddies.serve_app.store.impressions import copy_kernels
from spotify_buddies.trainer.bundle import StringTable

Array = npt.NDArray[Any]

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
# The epoch of Postgres' microseconds.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Postgres stores neither NUL nor halves of surrogate pairs.
_UNSTORED = re.compile("[\0\ud800-\udfff]")
# Packed tables of playlist ids that are kept; a replica has one per model version.
TABLES = 4
_SOURCES = StringTable.of(["", *(source.name.lower() for source in Source)])


@dataclass(frozen=True)
class _PackedTable:
    """A packed table of playlist ids. unstorable: its rows that Postgres cannot store; they are empty in `packed`.

    The table is kept beside its packed form, so that its id() stays taken.
    """

    table: Sequence[str]
    packed: StringTable
    unstorable: Array


class CopyEncoder:
    """Turns columns into rows. Remembers the tables of playlist ids."""

    def __init__(self) -> None:
        self._tables: dict[int, _PackedTable] = {}

    def fit(self, shown: Shown) -> Shown:
        """The answer without the lists that Postgres cannot store; mostly the answer itself.

        An id is never changed to make it storable: another user could have that id, and would inherit the history.
        """
        unstorable = self._packed(shown.playlist_ids).unstorable
        versions = shown.model_version + shown.arm
        if not unstorable.size and not _UNSTORED.search(
            "".join((*shown.user_ids, *shown.recommendation_ids, versions))
        ):
            return shown
        kept = [
            place
            for place, (user_id, recommendation_id) in enumerate(
                zip(shown.user_ids, shown.recommendation_ids, strict=True)
            )
            if not _UNSTORED.search(user_id + recommendation_id + versions)
            and not np.isin(shown.rows[place, : shown.counts[place]], unstorable).any()
        ]
        return replace(
            shown,
            user_ids=tuple(shown.user_ids[place] for place in kept),
            recommendation_ids=tuple(shown.recommendation_ids[place] for place in kept),
            sources=tuple(shown.sources[place] for place in kept),
            rows=shown.rows[kept],
            counts=shown.counts[kept],
        )

    def encode(self, answers: Sequence[Shown], at_once: int) -> Iterator[bytes]:
        """Rows for COPY impressions, in parts of about `at_once` lists; the caller adds header and trailer.

        answers: as `fit` returns them.
        """
        for _, group in groupby(answers, lambda shown: (id(shown.playlist_ids), shown.model_version, shown.arm)):
            part: list[Shown] = []
            lists = 0
            for shown in group:
                part.append(shown)
                lists += len(shown.user_ids)
                if lists >= at_once:
                    yield self._encode(part)
                    part, lists = [], 0
            if part:
                yield self._encode(part)

    def warm_up(self) -> None:
        """Compile the kernel, which would block the event loop when the first answer is written."""
        row = np.zeros((1, 1), np.int32)
        nothing = Shown(("",), ("",), (Source.LIVE,), row, row[0], ("",), "", "", _EPOCH)
        list(self.encode([nothing], 1))

    def _encode(self, answers: Sequence[Shown]) -> bytes:
        """Rows of answers that share table, version and arm."""
        first = answers[0]
        names = self._packed(first.playlist_ids).packed
        sizes = [len(shown.user_ids) for shown in answers]
        moments = np.repeat([(shown.at - _EPOCH) // _MICROSECOND for shown in answers], sizes)
        widths = np.repeat([shown.rows.shape[1] for shown in answers], sizes)
        ids = StringTable.of([text for shown in answers for text in shown.recommendation_ids])
        users = StringTable.of([text for shown in answers for text in shown.user_ids])
        tail = b"".join(_field(text) for text in (first.model_version, first.arm))
        sources = np.fromiter((source for shown in answers for source in shown.sources), np.int64, sum(sizes))
        encoded = copy_kernels.encode_rows(
            moments.astype(np.int64), ids.offsets, ids.data, users.offsets, users.data,
            np.cumsum(widths) - widths, np.concatenate([shown.counts for shown in answers]),
            np.concatenate([shown.rows.ravel() for shown in answers]), names.offsets, names.data,
            np.frombuffer(tail, np.uint8), sources, _SOURCES.offsets, _SOURCES.data,
        )  # fmt: skip
        data: bytes = encoded.tobytes()
        return data

    def _packed(self, table: Sequence[str]) -> _PackedTable:
        packed = self._tables.get(id(table))
        if packed is None:
            if len(self._tables) >= TABLES:
                self._tables.clear()
            packed = self._tables[id(table)] = _pack(table)
        return packed


def _pack(table: Sequence[str]) -> _PackedTable:
    if isinstance(table, StringTable):
        # Packed text is UTF-8, so only NUL can be wrong with it.
        places = np.flatnonzero(table.data == 0)
        return _PackedTable(table, _frozen(table), np.unique(np.searchsorted(table.offsets, places, side="right") - 1))
    unstorable = [row for row, text in enumerate(table) if _UNSTORED.search(text)]
    texts = list(table)
    for row in unstorable:
        texts[row] = ""
    return _PackedTable(table, _frozen(StringTable.of(texts)), np.array(unstorable, np.int64))


def _frozen(table: StringTable) -> StringTable:
    """Read-only views: numba would compile again for writable arrays."""
    offsets, data = table.offsets.view(), table.data.view()
    offsets.flags.writeable = data.flags.writeable = False
    return StringTable(offsets, data)


def _field(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(4, "big") + data
