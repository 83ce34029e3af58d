"""Scoring block by block, on the threads of this machine or on the machines of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.stages.blocks import read_only
from spotify_buddies.serve_app.daily.kernels import best
from spotify_buddies.serve_app.daily.space import Space
from spotify_buddies.trainer.bundle import Bundle

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """Arrays of the bundle that lists are computed from, and the numbers of the wanted blocks."""

    space: Space
    wanted: tuple[int, ...]
    user_factors: Array
    playlist_factors: Array
    owner: Array
    indptr: Array
    indices: Array
    values: Array


@dataclass(frozen=True)
class Block:
    """A finished block. value: its lists as bytes. lists: how many of them are not empty."""

    number: int
    value: bytes
    lists: int


def inputs(bundle: Bundle, space: Space, wanted: tuple[int, ...]) -> Inputs:
    """Views of the bundle's arrays; nothing is copied here."""
    candidates = bundle.candidates
    # The stored scores: they hold what is no product of factors, and equal what a live list is ordered by.
    values = candidates.values
    arrays = (
        bundle.user_factors, bundle.playlist_factors, bundle.owner, candidates.indptr, candidates.indices,
        np.empty(0, np.float32) if values is None else values,
    )  # fmt: skip
    return Inputs(space, wanted, *(read_only(array) for array in arrays))


def score(given: Inputs, first: int, last: int) -> list[Block]:
    """Compute the blocks wanted[first:last]. Candidates are rows, best first, then -1."""
    return [_block(given, number) for number in given.wanted[first:last]]


def _block(given: Inputs, number: int) -> Block:
    first, last = given.space.rows(number)
    rows = np.full((last - first, given.space.length), -1, np.int32)
    users_with_list = best(
        first, given.user_factors, given.indptr, given.indices, given.playlist_factors, given.owner, given.values, rows,
        np.empty(rows.shape, np.float32),
    )  # fmt: skip
    return Block(number, rows.astype("<i4", copy=False).tobytes(), int(users_with_list))
