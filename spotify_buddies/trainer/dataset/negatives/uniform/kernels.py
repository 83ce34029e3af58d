"""Hot loops that draw uniform negatives of real follows, and those that a user dislikes."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.streams import below, hashed
from spotify_buddies.trainer.dataset.negatives.kernels import Labels, count_train, deal

Array = npt.NDArray[Any]
Sampled = tuple[Array, Array, Array, Array]


@numba.njit(cache=True, nogil=True)
def mark(labels: Labels, refused_ptr: Array, refused: Array, user: int, value: int, marks: Array) -> None:
    """Set marks int8 (P) of what is no uniform negative of the user, beside what the user owns."""
    for i in range(labels.liked_ptr[user], labels.liked_ptr[user + 1]):
        if labels.split[i] == 0:
            marks[labels.liked[i]] = value
    for i in range(refused_ptr[user], refused_ptr[user + 1]):
        marks[refused[i]] = value


@numba.njit(cache=True, nogil=True)
def others(
    labels: Labels, refused_ptr: Array, refused: Array, everybody: Array, user: int, most: int, marks: Array
) -> tuple[int, Array]:
    """How many uniform negatives there are, and these where they are no more than `most`, else none of them."""
    left = everybody.size - (labels.owned_ptr[user + 1] - labels.owned_ptr[user])
    for i in range(labels.liked_ptr[user], labels.liked_ptr[user + 1]):
        playlist = labels.liked[i]
        left -= labels.split[i] == 0 and labels.offered[playlist] and labels.owner[playlist] != user
    for i in range(refused_ptr[user], refused_ptr[user + 1]):
        left -= labels.offered[refused[i]] and labels.owner[refused[i]] != user
    if left > most:
        return left, np.empty(0, np.int32)
    pool = np.empty(max(left, 0), np.int32)
    n = 0
    for playlist in everybody:
        if marks[playlist] == 0 and labels.owner[playlist] != user:
            pool[n] = playlist
            n += 1
    return n, pool


@numba.njit(cache=True, nogil=True)
def any_other(labels: Labels, everybody: Array, user: int, marks: Array, state: Array) -> int:
    """A uniform negative that is not marked; there is one."""
    while True:
        playlist: int = everybody[below(state, everybody.size)]
        if marks[playlist] == 0 and labels.owner[playlist] != user:
            return playlist


@numba.njit(cache=True, nogil=True)
def uniform_pools(
    labels: Labels,
    refused_ptr: Array,
    refused: Array,
    everybody: Array,
    first: int,
    last: int,
    most: int,
    seed: np.uint64,
    marks: Array,
) -> Sampled:
    """As `kernels.pools_of_block`: the hard pool is what is disliked, the easy one all others. marks (P): zeros."""
    positives = np.empty(count_train(labels, first, last), np.int32)
    hards, easies = np.empty((last - first) * most, np.int32), np.empty((last - first) * most, np.int32)
    counts = np.zeros((last - first, 6), np.int64)
    state = np.zeros(1, np.uint64)
    end, hard_end, easy_end = 0, 0, 0
    for user in range(first, last):
        likes = count_train(labels, user, user + 1)
        if likes == 0:
            continue
        row = counts[user - first]
        state[0] = hashed(seed, user)
        mark(labels, refused_ptr, refused, user, 1, marks)
        left, pool = others(labels, refused_ptr, refused, everybody, user, 2 * most, marks)
        row[3], row[4] = refused_ptr[user + 1] - refused_ptr[user], left
        if row[3] + row[4] == 0:
            row[5] = likes
        else:
            row[0], row[1], row[2] = likes, min(row[3], most), min(left, most)
            for i in range(row[1]):
                hards[hard_end + i] = refused[refused_ptr[user] + i]
            sample = easies[easy_end : easy_end + row[2]]
            for i in range(row[2]):
                if pool.size:
                    # A partial Fisher-Yates shuffle: each at most once.
                    pick = i + below(state, left - i)
                    pool[i], pool[pick] = pool[pick], pool[i]
                    sample[i] = pool[i]
                else:
                    sample[i] = any_other(labels, everybody, user, marks, state)
                    marks[sample[i]] = 1
            if pool.size == 0:
                for i in range(row[2]):
                    marks[sample[i]] = 0
            sample.sort()
            hard_end, easy_end = hard_end + row[1], easy_end + row[2]
            for i in range(labels.liked_ptr[user], labels.liked_ptr[user + 1]):
                if labels.split[i] == 0:
                    positives[end] = labels.liked[i]
                    end += 1
        mark(labels, refused_ptr, refused, user, 0, marks)
    return positives[:end].copy(), hards[:hard_end].copy(), easies[:easy_end].copy(), counts


@numba.njit(cache=True, nogil=True)
def uniform_triplets(
    labels: Labels,
    refused_ptr: Array,
    refused: Array,
    everybody: Array,
    first: int,
    last: int,
    negatives: int,
    hard_negatives: int,
    seed: np.uint64,
    marks: Array,
) -> Array:
    """Triplets of users first..last, int32 (N, 3); where one pool is empty all negatives come from the other."""
    out = np.empty((negatives * count_train(labels, first, last), 3), np.int32)
    state = np.zeros(1, np.uint64)
    end = 0
    for user in range(first, last):
        positives = count_train(labels, user, user + 1)
        hards = refused[refused_ptr[user] : refused_ptr[user + 1]]
        if positives == 0:
            continue
        mark(labels, refused_ptr, refused, user, 1, marks)
        left, pool = others(labels, refused_ptr, refused, everybody, user, 2 * negatives, marks)
        if left or hards.size:
            from_hard = 0 if hards.size == 0 else negatives if left == 0 else hard_negatives
            state[0] = hashed(seed, user)
            drawn = np.empty(positives * negatives, np.int32)
            for i in range(drawn.size):
                if i < positives * from_hard:
                    drawn[i] = hards[below(state, hards.size)]
                elif pool.size:
                    drawn[i] = pool[below(state, left)]
                else:
                    drawn[i] = any_other(labels, everybody, user, marks, state)
            end = deal(labels, user, drawn, positives, from_hard, out, end)
        mark(labels, refused_ptr, refused, user, 0, marks)
    return out[:end].copy()
