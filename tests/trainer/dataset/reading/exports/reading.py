"""What an export holds, read from a file and shown as names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spotify_buddies.trainer.dataset.errors import Skipped
from spotify_buddies.trainer.dataset.reading.exports.find import find_exports
from spotify_buddies.trainer.dataset.reading.exports.read import read_export
from spotify_buddies.trainer.dataset.reading.intern import SongNames
from tests.trainer.dataset.mixed_exports import write

Song = tuple[str, str]


@dataclass
class Shown:
    """heard: songs; playlists: title and songs of each; dropped: rows by reason; bad: what was malformed."""

    format: str
    heard: list[Song]
    playlists: list[tuple[str, list[Song]]]
    dropped: dict[str, int]
    bad: list[str]
    ids: list[str] = field(default_factory=list)


def shown(path: Path, content: Any = None, *, skip: bool = False) -> Shown:
    """Write the content where one is given, recognise the file and read it."""
    if content is not None:
        write(path, content)
    unread: list[Any] = []
    (export,) = find_exports(path.parent, [path], "ana", [], unread) or [None]
    assert export is not None, unread
    names, skipped = SongNames(), Skipped(skip)
    read = read_export(export, names, skipped)
    table = list(zip(*names.table(), strict=True))
    playlists: list[tuple[str, list[Song]]] = [(title, []) for title in read.titles]
    for playlist, song in zip(read.playlists, read.songs, strict=True):
        playlists[playlist][1].append(table[song])
    dropped = {why: left.count for why, left in read.tally.dropped.items()}
    assert read.tally.rows == read.tally.used + sum(dropped.values()) + skipped.lines
    return Shown(
        export.format.title, [table[code] for code in read.heard], playlists, dropped, skipped.listed, read.ids
    )
