"""What is asked and what is answered, apart from the wire: frozen data between the edge and the engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy.typing as npt

from pairing.csr import Csr

Array = npt.NDArray[Any]


class Mode(IntEnum):
    """Score now, or read the list of the day; numbers as in the proto."""

    LIVE = 1
    DAILY = 2


class Source(IntEnum):
    """Where a list came from; numbers as in the proto."""

    LIVE = 1
    DAILY = 2
    COLD_NEIGHBOURS = 3
    POPULAR = 4


class Skipped(IntEnum):
    """A step that was left out; numbers as in the proto."""

    NEIGHBOUR_SEARCH = 1
    DAILY_LIST = 2


@dataclass(frozen=True)
class SongName:
    """A song by its names."""

    title: str
    artist: str


@dataclass(frozen=True)
class Taste:
    """A listener described by songs: ids of the data set (str) or names. user_id may be empty."""

    user_id: str
    songs: tuple[str | SongName, ...]


@dataclass(frozen=True)
class Query:
    """One Recommend request, checked. Answers come back for user_ids first, then tastes, in order."""

    user_ids: tuple[str, ...] = ()
    tastes: tuple[Taste, ...] = ()
    limit: int = 5
    mode: Mode = Mode.LIVE
    exclude_playlist_ids: tuple[str, ...] = ()
    explain: bool = True


@dataclass(frozen=True)
class Lists:
    """Ranked playlists of n listeners.

    user_ids: as asked. rows int32, scores float32 (n, limit), best first; counts int32 (n,): how many of each row are
    filled. sources, skipped, unknown_songs: one entry per listener. songs: the listeners' own songs, ascending; row
    song_rows[i] of it, or -1 where nothing is known, belongs to listener i.
    """

    user_ids: tuple[str, ...]
    rows: Array
    scores: Array
    counts: Array
    sources: tuple[Source, ...]
    skipped: tuple[tuple[Skipped, ...], ...]
    unknown_songs: tuple[int, ...]
    songs: Csr
    song_rows: Array

    def __len__(self) -> int:
        return len(self.user_ids)


@dataclass(frozen=True)
class Reasons:
    """Why, per (listener, place): shared int32 (n, limit); examples int32 (n, limit, 3) song rows, -1 padded."""

    shared: Array
    examples: Array
