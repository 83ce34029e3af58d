"""Compiled loops over triplets: draws, permutations, look-ups."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.foundation.arrays.streams import hashed

Array = npt.NDArray[Any]

_ROUNDS = 6  # an even number, so that the halves have their widths again at the end


@njit(cache=True, nogil=True)
def pick(rows: Array, keys: Array, mask: int, users: int, playlists: int, out: Array) -> int:
    """out[i] = rows[keys[i] & mask], (n, 3); the first i whose row is out of range, or n."""
    for i in range(keys.size):
        row = np.int64(keys[i]) & mask
        u, p, n = rows[row, 0], rows[row, 1], rows[row, 2]
        # Here, where the row is in a register anyway: the update that follows indexes without checks.
        if min(u, p, n) < 0 or u >= users or p >= playlists or n >= playlists:
            return i
        out[i, 0], out[i, 1], out[i, 2] = u, p, n
    return int(keys.size)


@njit(cache=True, nogil=True)
def shuffled(first: int, total: int, seed: Any, out: Array) -> None:
    """out[i] = the place of number first + i in a random order of 0..total, integers; total at least 1.

    A Feistel network (Luby and Rackoff 1988) of _ROUNDS rounds over the smallest 2^b >= total, b >= 2; what falls
    outside is sent through again (Black and Rogaway 2002), so that it is a permutation of the numbers below total. It
    needs no memory. For some thousands and more: so few rounds over a few bits are not even.
    """
    bits = 2
    while (np.int64(1) << bits) < total:
        bits += 1
    low = np.uint64(bits // 2)
    high = np.uint64(bits) - low
    keys = np.empty(_ROUNDS, np.uint64)
    for i in range(_ROUNDS):
        keys[i] = hashed(seed, i)
    one = np.uint64(1)
    for i in range(out.size):
        value = np.uint64(first + i)
        while True:
            # With an odd number of bits the halves differ in width and change places with their values.
            left_bits, right_bits = high, low
            left, right = value >> low, value & ((one << low) - one)
            for key in keys:
                word = (right ^ key) * np.uint64(0x9E3779B97F4A7C15)
                word = (word ^ (word >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
                left, right = right, left ^ (word >> (np.uint64(64) - left_bits))
                left_bits, right_bits = right_bits, left_bits
            value = (left << right_bits) | right
            if value < np.uint64(total):
                break
        out[i] = value


class Rows(NamedTuple):
    """A CSR matrix for a kernel: row i holds columns[starts[i]:starts[i + 1]]."""

    starts: Array
    columns: Array


class Pools(NamedTuple):
    """Users x playlists: what a user likes, and the negatives to draw from."""

    positives: Rows
    hard: Rows
    easy: Rows


@njit(cache=True, nogil=True)
def draw_triplets(places: Array, pools: Pools, negatives: int, from_hard: int, seed: Any, out: Array) -> None:
    """The triplets at ascending places, integers (n,), of an epoch, int32 (n, 3).

    Place t belongs to positive t // negatives. Its negative comes from the user's hard pool where t % negatives is
    below from_hard, else from the easy one, and from the other where that is empty; every playlist of a pool is as
    likely. Users with positives have at least one playlist in their pools. The draw depends on seed and place alone.
    """
    if places.size == 0:
        return
    positives, hard, easy = pools
    # Only the first user is searched for: as places ascend, the next ones lie ahead, a step or two away.
    user = np.searchsorted(positives.starts, places[0] // negatives, side="right") - 1
    for i in range(places.size):
        positive = places[i] // negatives
        while positives.starts[user + 1] <= positive:
            user += 1
        hards = hard.starts[user + 1] - hard.starts[user]
        easies = easy.starts[user + 1] - easy.starts[user]
        # 32 bits times a size, shifted: no division, and a bias of less than size / 2^32.
        bits = hashed(seed, places[i]) >> np.uint64(32)
        if easies == 0 or (hards > 0 and places[i] - positive * negatives < from_hard):
            negative = hard.columns[hard.starts[user] + np.int64((bits * np.uint64(hards)) >> np.uint64(32))]
        else:
            negative = easy.columns[easy.starts[user] + np.int64((bits * np.uint64(easies)) >> np.uint64(32))]
        out[i, 0], out[i, 1], out[i, 2] = user, positives.columns[positive], negative
