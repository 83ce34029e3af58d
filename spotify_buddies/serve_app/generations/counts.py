"""Counts of one arm on one replica: a row of rollout_counts."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ArmCounts:
    """A row of rollout_counts, but for generation and replica; columns as there.

    shown: one bit per playlist row of the version's bundle, first row first, the highest bit of a byte first
    (numpy.packbits), compressed with zlib; None: as in the row before. asked_squares, answered_squares: sums over calls
    of the squared numbers of users that the arm was asked for and that it answered. sized_latencies: as latencies, for
    each size class of versions/counts.py, one after another.
    """

    arm: str
    version: str
    listeners: int
    errors: int
    empty: int
    cold: int
    latencies: tuple[int, ...]
    shown: bytes | None
    compared: int = 0
    lost: int = 0
    overlap: float = 0.0
    drift: float = 0.0
    asked_squares: int = 0
    answered_squares: int = 0
    sized_latencies: tuple[int, ...] = ()


def unpack(shown: bytes, playlists: int) -> Array:
    """Which playlist rows were shown, bool (playlists,), from what a row holds."""
    bits: Array = np.unpackbits(np.frombuffer(zlib.decompress(shown), np.uint8), count=playlists).astype(np.bool_)
    return bits
