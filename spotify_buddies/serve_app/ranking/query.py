"""Queries, rules and ranked lists: frozen data between the edge of the API and the engine."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking.lookup import Keys

Array = npt.NDArray[Any]


class Mode(IntEnum):
    """Score now, or read the list of the day; numbers as in the proto."""

    LIVE = 1
    DAILY = 2


class Arm(IntEnum):
    """Which of the versions in rotation answers; numbers as in the proto."""

    PRODUCTION = 1
    CANARY = 2
    INTERLEAVED = 3

    @property
    def label(self) -> str:
        """As stores and people write it."""
        return self.name.lower()


class Source(IntEnum):
    """Where a list came from; numbers as in the proto."""

    LIVE = 1
    DAILY = 2
    COLD_NEIGHBOURS = 3
    POPULAR = 4
    POPULAR_IN_GENRE = 5


class ReasonKind(IntEnum):
    """What a reason counts; numbers as in the proto, and as in kernels/kinds.py."""

    TASTE = 1
    OWNER = 2
    SONGS = 3
    ARTISTS = 4
    FOLLOWERS = 5
    POPULAR = 6
    POPULAR_IN_GENRE = 7


# How many lists came from each source, by its number, where there is one list.
_ONE_OF = tuple([0] * number + [1] for number in range(max(Source) + 1))


class Skipped(IntEnum):
    """A step that was left out; numbers as in the proto."""

    NEIGHBOUR_SEARCH = 1
    DAILY_LIST = 2
    SEEN = 3


class SongName(NamedTuple):
    """A song by its names. A tuple: tastes have hundreds of them, and a frozen dataclass takes three times as long."""

    title: str
    artist: str


@dataclass(frozen=True)
class Taste:
    """A user described by songs: ids of the data set (str) or names. user_id may be empty.

    asked: the same as the edge took it, for Query.asked; None: it is too long to be remembered, or nobody asked.
    """

    user_id: str
    songs: tuple[str | SongName, ...]
    asked: bytes | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class ExcludeSeen:
    """Leave out what a user was shown, or liked, within the last window_s seconds."""

    window_s: float
    shown: bool = True
    liked: bool = True


@dataclass(frozen=True)
class CounterfactualOptions:
    """Which of a user's songs drop a playlist from the list. playlist_ids: of which; none: the first max_playlists."""

    playlist_ids: frozenset[str] = frozenset()
    max_playlists: int = 3
    max_songs: int = 10


@dataclass(frozen=True)
class RefusedUser:
    """A user who cannot be answered. place: among all users of the request, from 0; field: as in user_ids[3]."""

    place: int
    user_id: str
    field: str
    message: str


@dataclass(frozen=True)
class Query:
    """One Recommend request, checked. Answers come back for user_ids first, then tastes, in order.

    user_ids and tastes are those that can be answered; refused are between them, by ascending place. at: when it is
    asked, in UTC; None: now. asked: the same as the edge took it, without its users, to be remembered with the lists;
    None: it is too long, or nobody asked.
    """

    user_ids: tuple[str, ...] = ()
    tastes: tuple[Taste, ...] = ()
    limit: int = 5
    mode: Mode = Mode.LIVE
    exclude_playlist_ids: tuple[str, ...] = ()
    explain: bool = True
    exclude_seen: ExcludeSeen | None = None
    max_per_owner: int = 2
    max_song_overlap: float = 0.8
    max_song_containment: float = 0.5
    adventurous: float = 0.0
    calibration: float = 0.0
    refused: tuple[RefusedUser, ...] = ()
    counterfactual: CounterfactualOptions | None = None
    at: datetime | None = None
    asked: bytes | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.user_ids) + len(self.tastes) + len(self.refused)

    def ids(self, first: int, last: int) -> Sequence[str]:
        """The users at places first up to last among user_ids and then tastes."""
        known = len(self.user_ids)
        if last <= known:
            return self.user_ids[first:last]
        tastes = self.tastes[max(0, first - known) : last - known]
        return (*self.user_ids[first:], *(taste.user_id for taste in tastes))

    @property
    def is_single(self) -> bool:
        """Whether it asks for one known user, and nothing has to be read from anywhere for the answer."""
        return (
            len(self.user_ids) == 1
            and not self.tastes
            and not self.refused
            and self.mode is Mode.LIVE
            and self.exclude_seen is None
            and not self.calibration
        )

    @property
    def is_single_taste(self) -> bool:
        """Whether it asks for one taste, and nothing has to be read from anywhere for the answer but its neighbours."""
        return (
            len(self.tastes) == 1
            and not self.user_ids
            and not self.refused
            and self.mode is Mode.LIVE
            and self.exclude_seen is None
            and not self.calibration
        )

    def part(self, first: int, size: int) -> Query:
        """The same request for the users at places first up to first + size, the refused counted from 0 again."""
        if first == 0 and size >= len(self):
            return self
        last = min(first + size, len(self))
        before, until = (bisect_left(self.refused, place, key=lambda r: r.place) for place in (first, last))
        refused = tuple(replace(r, place=r.place - first) for r in self.refused[before:until])
        known, start, stop = len(self.user_ids), first - before, last - until
        return replace(
            self,
            user_ids=self.user_ids[start:stop],
            tastes=self.tastes[max(0, start - known) : max(0, stop - known)],
            refused=refused,
        )

    def only(self, chosen: Array) -> Query:
        """The same request for the user_ids and then tastes that `chosen`, bool, marks; without the refused."""
        marks: list[bool] = chosen.tolist()
        known = len(self.user_ids)
        return replace(
            self,
            user_ids=tuple(compress(self.user_ids, marks)),
            tastes=tuple(compress(self.tastes, marks[known:])),
            refused=(),
        )


@dataclass(frozen=True)
class RankedLists:
    """Ranked playlists of n users.

    user_ids: as asked. rows int32, scores float32 (n, limit), best first; counts int32 (n,): how many of each row are
    filled. sources, skipped, unknown_songs: one entry per user. songs: the users' own songs, ascending; row
    song_rows[i] of it, or -1 where nothing is known, belongs to user i. keys: user_ids as bytes. candidate_sources
    uint8 (n, limit): what found each playlist, bits of trainer.bundle.sources, 0 where a row is not filled or nothing
    is known. candidates uint64 (n,): hashes (kernels.fold_lists) of the candidates that were found for this answer; 0
    where none were; None: for nobody. propensities float32 (n, limit): the probability of each filled place given those
    before it; None: nothing was drawn at random. computed: Unix seconds of when lists of source DAILY were made; None:
    nobody says.
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
    keys: Keys | None = None
    candidate_sources: Array | None = None
    candidates: Array | None = None
    propensities: Array | None = None
    computed: int | None = None

    def __len__(self) -> int:
        return len(self.user_ids)

    def skip(self, steps: tuple[Skipped, ...]) -> RankedLists:
        """The same lists, with these steps skipped for everybody too."""
        return replace(self, skipped=tuple((*skipped, *steps) for skipped in self.skipped)) if steps else self

    def part(self, first: int, last: int) -> RankedLists:
        """The lists of users first up to last."""
        keys, some = self.keys, slice(first, last)
        return replace(
            self,
            user_ids=self.user_ids[some],
            rows=self.rows[some],
            scores=self.scores[some],
            counts=self.counts[some],
            sources=self.sources[some],
            skipped=self.skipped[some],
            unknown_songs=self.unknown_songs[some],
            song_rows=self.song_rows[some],
            keys=keys and Keys(keys.offsets[first : last + 1], keys.data, keys.hashes[some]),
            candidate_sources=None if self.candidate_sources is None else self.candidate_sources[some],
            candidates=None if self.candidates is None else self.candidates[some],
            propensities=None if self.propensities is None else self.propensities[some],
        )

    def count_sources(self) -> list[int]:
        """How many lists came from each source, by its number."""
        if len(self.sources) == 1:
            return _ONE_OF[self.sources[0]]
        counts: list[int] = np.bincount(self.source_numbers).tolist()
        return counts

    @property
    def source_numbers(self) -> Array:
        """The sources as int8 (n,). Enum members hash in Python, so columns of them go by their numbers."""
        return np.fromiter(self.sources, np.int8, len(self.sources))
