"""Team draft: one list from two versions, in which each playlist belongs to the version that picked it.

Radlinski, Kurup and Joachims, "How does clickthrough data reflect retrieval quality?" (CIKM 2008). In each round a coin
decides which team picks first; each picks the best playlist of its own list that is not in the common one yet. A like
counts for the team that picked the playlist. Where both versions are equally good, each of them picks the better places
as often as the other, so their likes have the same expectation for every listener, whatever else the likes depend on.

The rules of a list hold for the common one: both lists obey them, and what is too near to a pick of the other team, or
of an owner who has all places already, is passed over. Two playlists of which no version knows both are compared by
their owners alone. When one team has nothing left to pick, the other one fills the list.

The coins are bits of a hash of the recommendation's id, so the same list can be drafted again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from spotify_buddies.serve_app.ranking.encoding import ids_of
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.lookup import Keys, find
from spotify_buddies.serve_app.ranking.query import RankedLists
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.serve_app.versions.interleaving import kernels
from spotify_buddies.serve_app.versions.interleaving.kernels import CANARY, PRODUCTION

Array = npt.NDArray[Any]


__all__ = ["CANARY", "PRODUCTION", "Drafted", "coins_of", "draft", "warm_up"]


@dataclass(frozen=True)
class Drafted:
    """Picks of n listeners in their order. teams int8 (n, limit): PRODUCTION or CANARY. places int32 (n, limit): where
    the playlist stood in the team's own list. counts int32 (n,): how many of each row are filled.
    """

    teams: Array
    places: Array
    counts: Array

    def picks(self, lists: RankedLists, team: int) -> RankedLists:
        """A team's list with its picks alone, in their order; the places after them are empty."""
        filled = np.arange(self.teams.shape[1]) < self.counts[:, None]
        mine = filled & (self.teams == team)
        order = np.argsort(~mine, axis=1, kind="stable")
        counts = mine.sum(axis=1).astype(np.int32)
        kept = np.arange(self.teams.shape[1]) < counts[:, None]
        places = np.where(kept, np.take_along_axis(self.places, order, axis=1), 0)
        bits = lists.candidate_sources
        return replace(
            lists,
            rows=np.where(kept, np.take_along_axis(lists.rows, places, axis=1), -1).astype(np.int32),
            scores=np.where(kept, np.take_along_axis(lists.scores, places, axis=1), 0).astype(np.float32),
            counts=counts,
            candidate_sources=None if bits is None else np.where(kept, np.take_along_axis(bits, places, axis=1), 0),
        )


def coins_of(drawn: bytes) -> Array:
    """The coins of recommendations, uint64 (n,), by the random bytes of their ids, 16 each: XXH3 of the digits.

    64 coins are enough: the longest list has 50 rounds.
    """
    ids = [one.encode() for one in ids_of(drawn)]
    return np.fromiter(map(xxhash.xxh3_64_intdigest, ids), np.uint64, len(ids))


def draft(
    production: Engine, canary: Engine, mine: RankedLists, theirs: RankedLists, rules: Rules, coins: Array
) -> Drafted:
    """Draft the lists of the same listeners from production's (mine) and the canary's (theirs), both of one width.

    coins: see coins_of.
    """
    known = _rows_in(production, canary, theirs.rows)
    clashes = np.zeros((*mine.rows.shape, mine.rows.shape[1]), np.bool_)
    _mark(production, mine.rows, known, rules, clashes)
    strange = (known < 0) & (theirs.rows >= 0)
    if strange.any():
        _mark(canary, _rows_in(canary, production, mine.rows), np.where(strange, theirs.rows, -1), rules, clashes)
    # What production does not know gets numbers behind those that it does.
    beyond = theirs.rows.astype(np.int64) + production.bundle.manifest.playlists
    ids = np.stack([mine.rows.astype(np.int64), np.where(known >= 0, known, beyond)])
    owners = np.stack([production.bundle.owner[mine.rows], _owners(production, canary, known, theirs.rows)])
    teams, places = np.zeros(mine.rows.shape, np.int8), np.zeros(mine.rows.shape, np.int32)
    counts = np.zeros(len(mine), np.int32)
    sizes = np.stack([mine.counts, theirs.counts]).astype(np.int64)
    kernels.draft(ids, owners.astype(np.int64), sizes, clashes, coins, rules.max_per_owner, teams, places, counts)
    return Drafted(teams, places, counts)


def warm_up(engine: Engine) -> None:
    """Compile the kernels: a call must not wait for that."""
    lists = engine.rank_known([""], 1, np.empty(0, np.int32))
    draft(engine, engine, lists, lists, Rules(), np.zeros(1, np.uint64))


def _rows_in(engine: Engine, other: Engine, rows: Array) -> Array:
    """Playlists of another engine as rows of this one, int32; -1 where there is none, or this one does not know it."""
    filled = rows >= 0
    found = np.full(rows.shape, -1, np.int32)
    ids = other.playlist_ids
    found[filled] = find(engine.bundle.playlist_ids, Keys.of([ids[row] for row in rows[filled].tolist()]))
    return found


def _mark(engine: Engine, mine: Array, theirs: Array, rules: Rules, out: Array) -> None:
    catalogue, limits = engine.catalogue, engine.list_rules(rules, np.empty(0, np.int32), len(mine))
    kernels.mark_clashes(
        mine, theirs.astype(np.int32), catalogue.owner, catalogue.sketches, catalogue.song_bits,
        catalogue.song_indptr, catalogue.songs, limits.most_equal, limits.most_contained, out,
    )  # fmt: skip


def _owners(production: Engine, canary: Engine, known: Array, rows: Array) -> Array:
    """Owners of the canary's playlists as rows of production's users, or numbers behind these; -1: nobody."""
    owners = production.bundle.owner[known].astype(np.int64)
    strange = (known < 0) & (rows >= 0)
    if strange.any():
        theirs = canary.bundle.owner[rows[strange]].astype(np.int64)
        owned = theirs >= 0
        ids = canary.bundle.user_ids.table
        same = find(production.bundle.user_ids, Keys.of([ids[row] for row in theirs[owned].tolist()]))
        theirs[owned] = np.where(same >= 0, same, theirs[owned] + production.bundle.manifest.users)
        owners[strange] = theirs
    return owners
