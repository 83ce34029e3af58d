"""Part 7: the owner of every playlist.

A playlist that names its owner keeps it. Every other goes to the user with the highest priority among some warm users;
a user gets at most `owned_max`, and the next candidate takes what does not fit. The limit is for these alone: the
playlists that name a user as their owner are not counted. By [data] ownership:

"nearest": priority = the cosine of the songs of user and playlist, among the users nearest to it (labels.nearest), but
for those whose validation or test positive it is. Nearly every playlist has an owner, who shares songs with it.

"reference": priority = score / sqrt(s), among those who like it, but for those whose validation positive it is. Likes
follow short playlists, and so do these owners.

Where labels are real follows, only playlists that name their owner have one: follows say nothing of who made a list.
Where they are a service's feedback alone, the owners are the nearest by songs, as they were before there was any.

Playlists rank users and users rank playlists by the same priorities (of equal ones the lower playlist row, then the
lower user row, comes first), so there is exactly one assignment in which no playlist and user would both do better with
each other: the stable matching. It does not depend on the order of playlists. It is found in rounds: each playlist asks
the best user who has not refused it; a user with too many keeps the best and refuses, now and later, whatever is worse
than the worst of these. A refusal is a floor per user, so no list of pairs is kept or sorted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.trainer.dataset.kernels import group
from spotify_buddies.trainer.dataset.labels.follows import real_labels
from spotify_buddies.trainer.dataset.labels.kernels import propose
from spotify_buddies.trainer.dataset.labels.nearest import held, nearest_listeners
from spotify_buddies.trainer.dataset.table import (
    IN_TEST,
    IN_VALIDATION,
    LIKED,
    MATRIX,
    NOT_SAMPLED,
    SONGS,
    SPLIT,
    UNUSED,
    WARM,
)
from spotify_buddies.trainer.reports.quantiles import describe, gini, top_share
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]


def assign_owners(
    directory: Path,
    parts: Mapping[str, Path],
    settings: DataSettings,
    progress: Progress,
    *,
    named_alone: bool = True,
) -> dict[str, Any]:
    """Write owner.npy int32 (P), -1 for none, and CSR owned (U, P), ascending.

    named_alone: of real labels only playlists that name their owner have one. parts: the directories of the stages
    2-songs, 3-matrix, 5-liked and 6-split under these names.
    """
    liked = Csr.load(parts[LIKED], "liked")
    split = np.load(parts[SPLIT] / "split.npy")
    kind = np.load(parts[SPLIT] / "user_kind.npy")
    named = np.load(parts[SONGS] / "named_owner.npy")
    user_songs, playlist_songs = (Csr.load(parts[MATRIX], name) for name in ("user_songs", "playlist_songs"))
    # A held-out positive stays one: users are never recommended what they own.
    real = real_labels(parts[MATRIX]) is not None
    if real and named_alone:
        pairs, roots, counts = liked, np.ones(liked.rows), np.zeros(liked.nnz, np.bool_)
    elif settings.ownership == "reference" and not real:
        pairs, roots = liked, np.sqrt(user_songs.counts)
        counts = (split != IN_VALIDATION) & (split != UNUSED)
    else:
        pairs, roots = nearest_listeners(user_songs, playlist_songs, kind == WARM, progress), np.ones(liked.rows)
        counts = ~held(pairs, liked, (split == IN_VALIDATION) | (split == IN_TEST))
    owner, rounds, capped = match(pairs, counts & (named[pairs.indices] < 0), roots, settings, progress)
    owner = np.where(named >= 0, named, owner).astype(np.int32)
    owned = owned_by(owner, liked.rows)
    np.save(directory / "owner.npy", owner)
    owned.save(directory, "owned")
    return _statistics(owned, named, kind != NOT_SAMPLED) | {
        **({"feedback_alone": True} if real and not named_alone else {}),
        "rounds": rounds,
        "users_at_the_limit": capped,
        "share_owned_by_length": _by_length(owner, playlist_songs.counts),
    }


def match(
    liked: Csr, counts: Array, root_songs: Array, settings: DataSettings, progress: Progress
) -> tuple[Array, int, int]:
    """The stable matching: owner int32 (P), -1 for none; rounds; users who refused something.

    liked (U, P) with scores; counts bool, one per like: whether it counts; root_songs float64 (U): sqrt(s), or what
    else scores are divided by.
    """
    # A floor is a priority and a playlist row, which decides between equal priorities.
    floors, floor_rows = np.full(liked.rows, -np.inf), np.full(liked.rows, -1, np.int32)
    indptr, indices, scores = (np.asarray(array) for array in (liked.indptr, liked.indices, liked.values))
    rounds = 0
    while True:
        rounds += 1
        # Anew each round: floors only rise, so whoever was refused stays refused.
        best, owner = np.full(liked.columns, -np.inf), np.full(liked.columns, -1, np.int32)
        for first in range(0, liked.rows, settings.block_users):
            progress(f"owners, round {rounds}", first, liked.rows, "users")
            last = min(first + settings.block_users, liked.rows)
            propose(first, last, indptr, indices, scores, counts, root_songs, floors, floor_rows, best, owner)
        progress(f"owners, round {rounds}", liked.rows, liked.rows, "users")
        if not _refuse(owner, best, settings.owned_max, floors, floor_rows):
            return owner, rounds, int(np.isfinite(floors).sum())


def _refuse(owner: Array, best: Array, most: int, floors: Array, floor_rows: Array) -> bool:
    """Raise the floor of every user who was asked by more than `most` playlists. False: there was none."""
    asked = owned_by(owner, floors.size)
    full = np.flatnonzero(asked.counts > most)
    for user in full:
        playlists = asked.row(int(user))
        # The last that is kept becomes the floor; lexsort's last key is the first to sort by.
        worst = playlists[np.lexsort((playlists, -best[playlists]))[most - 1]]
        floors[user], floor_rows[user] = best[worst], worst
    return bool(full.size)


def owned_by(owner: Array, users: int) -> Csr:
    """Playlists by their owner (U, P), ascending."""
    has = np.flatnonzero(owner >= 0).astype(np.int32)
    indptr, indices = group(owner[has], has, users)
    return Csr(indptr, indices, owner.size)


def _by_length(owner: Array, songs: Array) -> list[float]:
    """The share with an owner of each quarter of the playlists, the shortest first."""
    quarters = np.array_split(np.argsort(songs, kind="stable"), 4)
    return [round(float((owner[rows] >= 0).mean()), 4) if rows.size else 0.0 for rows in quarters]


def _statistics(owned: Csr, named: Array, sampled: Array) -> dict[str, Any]:
    amounts = owned.counts[owned.counts > 0]
    return {
        "owners": int(amounts.size),
        "share_of_sampled_users_who_own": round(float((owned.counts[sampled] > 0).mean()), 6) if sampled.any() else 0.0,
        "playlists_owned": owned.nnz,
        "playlists_that_name_their_owner": int((named >= 0).sum()),
        "owned_per_owner": describe(amounts),
        "share_of_top_1_percent": top_share(amounts, 0.01),
        "share_of_top_10_percent": top_share(amounts, 0.1),
        "gini": gini(amounts),
    }
