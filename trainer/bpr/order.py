"""The order in which an epoch visits the triplets: another one each epoch, without holding all of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pairing.seeds import generator
from trainer.bpr.model import TrainingError

Array = npt.NDArray[Any]

BLOCK = 1 << 20


@dataclass(frozen=True)
class Block:
    """Triplets int32 (n, 3), in memory, and the order int64 (n,) in which to visit them."""

    triplets: Array
    order: Array


def blocks(triplets: Array, users: int, playlists: int, seed: int, epoch: int) -> Iterator[Block]:
    """Every triplet once: blocks of the file in a random order, and a random order within each block.

    The file is shuffled already, so this is as good as shuffling all and reads in long runs. Depends on seed and epoch
    alone. TrainingError: a row number out of range.
    """
    rng = generator(seed, f"order of epoch {epoch}")
    for at in rng.permutation(-(-len(triplets) // BLOCK)):
        begin = int(at) * BLOCK
        block = np.ascontiguousarray(triplets[begin : begin + BLOCK], np.int32)
        _check(block, begin, users, playlists)
        yield Block(block, rng.permutation(len(block)))


def _check(block: Array, begin: int, users: int, playlists: int) -> None:
    limits = np.array([users, playlists, playlists])
    wrong = np.flatnonzero(((block < 0) | (block >= limits)).any(axis=1))
    if wrong.size:
        raise TrainingError(
            f"triplet {begin + int(wrong[0])} is {block[wrong[0]].tolist()}, outside {users} users and "
            f"{playlists} playlists; build the data set again with `buddies data build`"
        )
