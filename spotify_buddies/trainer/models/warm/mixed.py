"""Triplets of what people said, with those of implicit likes between them, at a weight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.models.drawn import Drawn
from spotify_buddies.trainer.models.order import EpochPart, TripletSource
from spotify_buddies.trainer.models.warm.rows import remapped, rows_of_ids

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Mixed:
    """An epoch of `said`, every block followed by 1 / weight as many triplets of `implicit`, in the same block.

    weight: of everything said against everything implied, since the loss is a mean over triplets. A block is 1 + 1 /
    weight times as large as those of `said`. Implicit triplets come in their own order, pass after pass.
    """

    said: TripletSource
    implicit: TripletSource
    weight: float

    def __len__(self) -> int:
        return len(self.said) + round(len(self.said) / self.weight)

    def part(self, epoch: int) -> EpochPart:
        """That of `said`, with what comes between."""
        part = self.said.part(epoch)
        return EpochPart(part.number, part.first, part.last + round(len(part) / self.weight))

    def blocks(self, seed: int, epoch: int) -> Iterator[Array]:
        """Blocks of both."""
        beside = _endless(self.implicit, seed, epoch)
        held = np.empty((0, 3), np.int32)
        for block in self.said.blocks(seed, epoch):
            wanted = round(len(block) / self.weight)
            pieces = [held]
            while sum(map(len, pieces)) < wanted:
                pieces.append(next(beside))
            there = np.concatenate(pieces)
            held = there[wanted:]
            yield np.concatenate([block, there[:wanted]])

    def seen(self) -> tuple[Array, Array]:
        """Who and what occurs in either."""
        said, implicit = self.said.seen(), self.implicit.seen()
        return said[0] | implicit[0], said[1] | implicit[1]


def _endless(source: TripletSource, seed: int, epoch: int) -> Iterator[Array]:
    """The blocks of an epoch and of those behind it; in a run of `said` epochs each begins elsewhere."""
    for number in count(epoch):
        yield from source.blocks(seed, number)


def implicit_likes(earlier: Dataset, data: Dataset) -> Drawn | None:
    """The likes that an earlier data set trains with, as triplets over the rows of a new one.

    Without what the new data set says is disliked. None where the earlier one has no likes, none that the new one
    knows, or no pools to draw negatives from.
    """
    pools = earlier.pools
    if pools is None:
        return None
    users = rows_of_ids(*(table["user_id"].to_list() for table in (earlier.user_table, data.user_table)))
    playlists = rows_of_ids(
        *(table["playlist_id"].to_list() for table in (earlier.playlist_table, data.playlist_table))
    )
    shape = (data.users, data.playlists)
    liked, hard, easy = (remapped(one, users, playlists, shape) for one in (pools.positives, pools.hard, pools.easy))
    liked = _without(liked, data.disliked).only(hard.counts + easy.counts > 0)
    return Drawn(liked, hard, easy, pools.negatives, pools.hard_share) if liked.nnz else None


def _without(pairs: Csr, refused: Csr) -> Csr:
    kept = ~np.isin(_keys(pairs), _keys(refused))
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])[np.asarray(pairs.indptr)]
    return Csr(ends, np.asarray(pairs.indices)[kept], pairs.columns)


def _keys(pairs: Csr) -> Array:
    keys: Array = np.repeat(np.arange(pairs.rows, dtype=np.int64) * pairs.columns, pairs.counts) + pairs.indices
    return keys
