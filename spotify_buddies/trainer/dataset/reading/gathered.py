"""What raw files say, in memory: listens and playlists as codes; and the same without listeners who were erased."""

from __future__ import annotations

from array import array
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.dataset.reading.interactions import Interactions
from spotify_buddies.trainer.dataset.reading.intern import Ids

Array = npt.NDArray[Any]


@dataclass
class Playlists:
    """Playlists in the order of their codes. lengths, songs: parts, one after another; owners: None where not named."""

    ids: Ids = field(default_factory=Ids)
    titles: list[str] = field(default_factory=list)
    followers: list[int | None] = field(default_factory=list)
    owners: list[str | None] = field(default_factory=list)
    lengths: list[Array] = field(default_factory=list)
    songs: list[Array] = field(default_factory=list)


@dataclass
class Listens:
    """Users, and songs that have an id; rows, songs: the codes of each listen, in parts."""

    users: Ids = field(default_factory=Ids)
    ids: Ids = field(default_factory=Ids)
    rows: list[Array] = field(default_factory=list)
    songs: list[Array] = field(default_factory=list)


@dataclass(frozen=True)
class Removed:
    """What was taken out. users: bool by the codes from before; songs: bool by code, those that nobody else has."""

    users: Array
    songs: Array
    counts: dict[str, int]


@dataclass(frozen=True)
class SongCodes:
    """The codes of songs as they are written. kept: bool by code, None: all; with_id: how many have an id."""

    kept: Array | None
    count: int
    with_id: int

    @classmethod
    def of(cls, with_id: int, named: int, removed: Removed | None) -> SongCodes:
        """Of so many songs with an id and then by name, without those that were removed."""
        if removed is None or not removed.songs.any():
            return cls(None, with_id + named, with_id)
        kept = np.ones(with_id + named, np.bool_)
        kept[: removed.songs.size] = ~removed.songs
        return cls(kept, int(kept.sum()), int(kept[:with_id].sum()))

    def of_kept(self, codes: Array) -> Array:
        """The codes of songs that are kept, int32, as they are written."""
        return codes if self.kept is None else _renumbered(~self.kept)[codes]


def without(erased: Container[str], listens: Listens, playlists: Playlists, found: Interactions | None) -> Removed:
    """Take erased listeners out, in place: what they heard and said, what they own, and what is said of that.

    Users and playlists get new codes, in the same order. Song codes stay: the caller leaves out `Removed.songs`, which
    nobody else listens to and no other playlist holds.
    """
    users = np.array([name in erased for name in listens.users.names()], np.bool_)
    owned = np.array([owner is not None and owner in erased for owner in playlists.owners], np.bool_)
    names = [name for name, gone in zip(listens.users.names(), users.tolist(), strict=True) if gone]
    names += [owner for owner, gone in zip(playlists.owners, owned.tolist(), strict=True) if gone and owner]
    rows, heard = joined(listens.rows), joined(listens.songs)
    lengths, tracks = joined(playlists.lengths, np.int64), joined(playlists.songs)
    of_erased, in_owned = users[rows], np.repeat(owned, lengths)
    songs = _of_these_alone((heard, of_erased), (tracks, in_owned))
    left = rows[~of_erased]
    said, leaving = (0, users) if found is None else _leave_out(found, users, owned, left)
    listens.rows[:], listens.songs[:] = [_renumbered(leaving)[left]], [heard[~of_erased]]
    listens.users = _kept_ids(listens.users, leaving)
    playlists.lengths[:], playlists.songs[:] = [lengths[~owned]], [tracks[~in_owned]]
    playlists.ids = _kept_ids(playlists.ids, owned)
    for column in (playlists.titles, playlists.followers, playlists.owners):
        _keep(column, owned)
    counts = {
        "erased_listeners_left_out": len({*names, *(found.erased if found else ())}),
        "listens_of_erased_listeners": int(of_erased.sum()),
        "playlists_of_erased_listeners": int(owned.sum()),
        "interactions_of_erased_listeners": said,
        "songs_of_erased_listeners_alone": int(songs.sum()),
        "users_who_followed_only_erased_listeners": int(leaving.sum() - users.sum()),
    }
    return Removed(leaving, songs, counts)


def _of_these_alone(*parts: tuple[Array, Array]) -> Array:
    """Bool by code up to the largest: songs that only entries with a mark name. parts: song codes and marks."""
    gone = np.concatenate([codes[marks] for codes, marks in parts])
    alone = np.setdiff1d(gone, np.concatenate([codes[~marks] for codes, marks in parts]))
    songs = np.zeros(int(alone.max(initial=-1)) + 1, np.bool_)
    songs[alone] = True
    return songs


def _leave_out(found: Interactions, users: Array, playlists: Array, listeners: Array) -> tuple[int, Array]:
    """Drop what these users said, and what is said of these playlists; how much, and all users who leave, bool.

    Who said nothing else and is not among `listeners` leaves too: no file without the playlists would name them.
    """
    of, about = np.array(found.users, np.int32), np.array(found.playlists, np.int32)
    dropped = users[of] | playlists[about]
    leaving = users.copy()
    leaving[of] = True
    leaving[of[~dropped]] = False
    leaving[listeners] = False
    found.users = array("i", _renumbered(leaving)[of[~dropped]].tolist())
    found.playlists = array("i", _renumbered(playlists)[about[~dropped]].tolist())
    for name in ("times", "weights", "kinds", "parts"):
        column: array[Any] = getattr(found, name)
        setattr(found, name, array(column.typecode, np.array(column)[~dropped].tolist()))
    return int(dropped.sum()) + found.of_erased, leaving


def _renumbered(gone: Array) -> Array:
    """The new code of each old one, int32; of those that are gone it says nothing."""
    codes: Array = (np.cumsum(~gone) - 1).astype(np.int32)
    return codes


def _kept_ids(ids: Ids, gone: Array) -> Ids:
    kept = Ids()
    kept.add([name for name, left in zip(ids.names(), gone.tolist(), strict=True) if not left])
    return kept


def _keep(column: list[Any], gone: Array) -> None:
    column[:] = [value for value, left in zip(column, gone.tolist(), strict=True) if not left]


def joined(parts: Sequence[Array], kind: npt.DTypeLike = np.int32) -> Array:
    """All parts, one after another."""
    return np.concatenate([np.empty(0, kind), *parts])
