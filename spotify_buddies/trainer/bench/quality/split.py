"""Held-out follows and their measure: NDCG@10 of a full ranking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.trainer.dataset.reading.attlist import Pairs
from spotify_buddies.trainer.models.blend.rows import CUTOFF
from spotify_buddies.trainer.models.items.item_model import in_blocks

Array = npt.NDArray[Any]

INNER_SHARE = 0.11  # of the training rows, about as many as validation has


@dataclass(frozen=True)
class Split:
    """What is learned from and what is asked for, Csr (U, P) each; songs Csr (P, S)."""

    known: Csr
    held_out: Csr
    songs: Csr

    @cached_property
    def users(self) -> Array:
        """Rows of users with something held out, ascending."""
        return np.flatnonzero(self.held_out.counts)

    def hide_known(self, users: Array, scores: Array) -> Array:
        """Scores (rows, P) with those of what is known at minus infinity, in their place."""
        known = self.known.take(users)
        scores[np.repeat(np.arange(users.size), known.counts), known.indices] = -np.inf
        return scores

    def ndcg(self, scores: Callable[[Array], Array], cutoff: int = CUTOFF) -> Array:
        """NDCG@cutoff of each of `users`, over all playlists that are not known; ties: the lower playlist first.

        scores: float32 (rows, P) of some user rows. Gain 1 / log2(place + 1); ideal: the first min(held out, cutoff).
        """
        discount = 1 / np.log2(np.arange(2, cutoff + 2))
        ideal = np.cumsum(discount)
        out = []
        for users in in_blocks(self.users):
            block = self.hide_known(users, np.array(scores(users), np.float32))
            wanted = self.held_out.take(users)
            hits = np.zeros((users.size, min(cutoff, block.shape[1])))
            best = top(block, cutoff)
            for place in range(hits.shape[1]):
                keys = np.arange(users.size) * np.int64(block.shape[1]) + best[:, place]
                of_wanted = np.repeat(np.arange(users.size), wanted.counts) * np.int64(block.shape[1]) + wanted.indices
                hits[:, place] = np.isin(keys, of_wanted)
            out.append((hits * discount[: hits.shape[1]]).sum(1) / ideal[np.minimum(wanted.counts, cutoff) - 1])
        return np.concatenate(out) if out else np.zeros(0)


def top(scores: Array, count: int) -> Array:
    """The columns of the `count` highest scores of each row, highest first; ties: the lower column first."""
    count = min(count, scores.shape[1])
    some = np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)
    order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)


def inner(pairs: Pairs, users: int, songs: Csr, seed: int) -> Split:
    """A part of the training rows held out at random, so that settings are chosen without the real held-out rows."""
    held = generator(seed, "quality/inner").random(pairs.users.size) < INNER_SHARE
    parts = [Pairs(pairs.users[some], pairs.playlists[some]).matrix(users, songs.rows) for some in (~held, held)]
    return Split(parts[0], parts[1], songs)
