"""Damaged exports: whatever is cut or changed in a file, it is read, or refused with a sentence."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.exports.find import find_exports
from spotify_buddies.trainer.dataset.reading.exports.read import read_export
from spotify_buddies.trainer.dataset.reading.intern import SongNames
from spotify_buddies.trainer.dataset.reading.sources import find_sources
from tests.trainer.dataset.mixed_exports import mixed_exports

ODD: list[Any] = [None, True, -1, 1e300, "", [], {}, [None], {"track": 1}, "x" * 3000, "\ud800"]


def read(path: Path) -> None:
    """Read a file if it is still recognised; with all that is bad left out."""
    unread: list[Any] = []
    for export in find_exports(path.parent, [path], "ana", [], unread):
        names = SongNames()
        found = read_export(export, names, Skipped(True))
        assert len(found.ids) == len(set(found.ids)) == len(found.titles)
        assert all(0 <= song < len(names) for song in (*found.heard, *found.songs))
        if found.tally.bad:
            with pytest.raises(DataError):
                read_export(export, SongNames(), Skipped())


def damaged(content: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(4)
    at = rng.randrange(len(content))
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    if kind == 2:
        return content[:at] + content[rng.randrange(len(content)) :]
    return content[:at] + rng.choice([b'"', b"\r", b"\0", b"<", b"&", b"{", b",", b"\xff\xfe"]) + content[at:]


def mangled(value: Any, rng: random.Random) -> Any:
    """JSON with something odd in one place."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        copy = value.copy()
        copy[key] = mangled(value[key], rng)
        return copy
    return rng.choice(ODD)


def exports(root: Path) -> list[Path]:
    return [export.path for export in find_sources(mixed_exports(root)).exports]


def test_bytes_that_are_cut_or_changed_are_read_or_refused(tmp_path):
    rng = random.Random(1)
    for path in exports(tmp_path / "data"):
        content = path.read_bytes()
        for _ in range(60):
            copy = tmp_path / path.name
            copy.write_bytes(damaged(content, rng))
            read(copy)


def test_json_of_another_form_is_read_or_refused(tmp_path):
    rng = random.Random(2)
    for path in exports(tmp_path / "data"):
        if path.suffix not in (".json", ".jspf"):
            continue
        content = json.loads(path.read_bytes())
        for _ in range(150):
            copy = tmp_path / path.name
            copy.write_text(json.dumps(mangled(content, rng)), encoding="utf-8")
            read(copy)
