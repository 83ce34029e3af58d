"""Hot loops that draw negatives: triplets, and batches of a positive among negatives."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.streams import below, hashed
from spotify_buddies.trainer.dataset.kernels import Space, Tastes, overlaps, pack, part_of, row_of, score, select

Array = npt.NDArray[Any]


class Labels(NamedTuple):
    """Likes and owners. CSR liked (U, P) with its split; owner int32 (P), and the same as CSR owned (U, P).

    offered bool (P): the playlist may be a negative. Those that nobody kept likes are not: they are never recommended.
    """

    liked_ptr: Array
    liked: Array
    split: Array
    owner: Array
    owned_ptr: Array
    owned: Array
    offered: Array


@numba.njit(cache=True, nogil=True)
def pool_of(tastes: Tastes, labels: Labels, user: int, hard_pool: float, space: Space, bits: Array) -> tuple[int, int]:
    """The user's negatives: scored, offered, not liked, not owned. (n, hard): keys[:hard] of keys[:n] score highest.

    tastes: of the offered playlists alone.
    """
    counts, rows, keys = space.counts, space.rows, space.keys
    touched = overlaps(tastes, user, space)
    # Likes and own playlists that count nothing look like no overlap, so that the loop below needs no look-up in a set.
    # `owned` also holds the playlists that name their owner.
    for i in range(labels.liked_ptr[user], labels.liked_ptr[user + 1]):
        counts[np.uint64(labels.liked[i])] = 0
    for i in range(labels.owned_ptr[user], labels.owned_ptr[user + 1]):
        counts[np.uint64(labels.owned[i])] = 0
    n = np.uint64(0)
    for i in range(touched):
        playlist = np.uint64(rows[np.uint64(i)])
        shared = np.int64(counts[playlist])
        counts[playlist] = 0
        # A key that is left out is overwritten by the next one: cheaper than a branch.
        keys[n] = pack(score(tastes, user, playlist, shared), playlist, bits)
        n += np.uint64(shared > 0)
    size: int = np.int64(n)  # type: ignore[assignment]
    return size, _hard_first(keys, size, hard_pool)


@numba.njit(cache=True, nogil=True)
def _hard_first(keys: Array, n: int, hard_pool: float) -> int:
    """Bring the hard pool of keys[:n] to the front; how large it is."""
    hard: int = part_of(hard_pool, n)
    if n:
        select(keys, 0, n, hard)
    return hard


@numba.njit(cache=True, nogil=True)
def draw(keys: Array, first: int, last: int, count: int, state: Array, out: Array) -> None:
    """Draw `count` rows from keys[first:last] into out: each at most once where there are enough, else with repeats."""
    for i in range(count):
        if count <= last - first:
            # A partial Fisher-Yates shuffle: the drawn ones move to the front and cannot come again.
            pick = first + i + below(state, last - first - i)
            keys[first + i], keys[pick] = keys[pick], keys[first + i]
            out[i] = row_of(keys[first + i])
        else:
            out[i] = row_of(keys[first + below(state, last - first)])


@numba.njit(cache=True, nogil=True)
def negatives_of_block(
    tastes: Tastes,
    labels: Labels,
    first: int,
    last: int,
    share: float,
    most: int,
    sampling: np.uint64,
    negatives: int,
    hard_negatives: int,
    drawing: np.uint64,
    space: Space,
) -> tuple[Array, Array, Array, Array, Array]:
    """What the triplets of users first..last are drawn from, and triplets: in one pass, since pools are what costs.

    int32 (N,) each, by user: positives of training, in the order of the likes, without those of a user whose pools are
    both empty; samples of the hard pool, the top `share`, and of the easy pool, `most` or all of a small one, without
    replacement, ascending. int64 (users, 6): how many of each; sizes of the two pools; positives left out.
    int32 (T, 3), by user and positive: `negatives` triplets for each positive. The first `hard_negatives` come from the
    hard pool, the others from the easy pool; where that is empty all come from the hard one.
    sampling, drawing: the seeds of both.
    """
    likes = count_train(labels, first, last)
    positives, triplets = np.empty(likes, np.int32), np.empty((negatives * likes, 3), np.int32)
    hards, easies = np.empty((last - first) * most, np.int32), np.empty((last - first) * most, np.int32)
    counts = np.zeros((last - first, 6), np.int64)
    bits, state = np.zeros(1, np.uint32), np.zeros(1, np.uint64)
    end, hard_end, easy_end, triplet_end = 0, 0, 0, 0
    for user in range(first, last):
        likes = count_train(labels, user, user + 1)
        if likes == 0:
            continue
        n, hard = pool_of(tastes, labels, user, share, space, bits)
        row = counts[user - first]
        row[3], row[4] = hard, n - hard
        if n == 0:
            row[5] = likes
            continue
        row[0], row[1], row[2] = likes, min(hard, most), min(n - hard, most)
        if most and negatives:
            # Drawing moves keys about, and either draw begins with the pools as they were found.
            kept = space.keys[:n].copy()
        # A stream per user: what others are drawn, and in which block, changes nothing.
        state[0] = hashed(sampling, user)
        draw(space.keys, 0, hard, row[1], state, hards[hard_end : hard_end + row[1]])
        draw(space.keys, hard, n, row[2], state, easies[easy_end : easy_end + row[2]])
        hards[hard_end : hard_end + row[1]].sort()
        easies[easy_end : easy_end + row[2]].sort()
        hard_end, easy_end = hard_end + row[1], easy_end + row[2]
        for i in range(labels.liked_ptr[user], labels.liked_ptr[user + 1]):
            if labels.split[i] == 0:
                positives[end] = labels.liked[i]
                end += 1
        if negatives:
            if most:
                space.keys[:n] = kept
            # No easy pool: all come from the hard one.
            from_hard = hard_negatives if hard < n else negatives
            drawn = np.empty(likes * negatives, np.int32)
            state[0] = hashed(drawing, user)
            draw(space.keys, 0, hard, likes * from_hard, state, drawn)
            draw(space.keys, hard, n, likes * (negatives - from_hard), state, drawn[likes * from_hard :])
            triplet_end = deal(labels, user, drawn, likes, from_hard, triplets, triplet_end)
    return (
        positives[:end].copy(),
        hards[:hard_end].copy(),
        easies[:easy_end].copy(),
        counts,
        triplets[:triplet_end].copy(),
    )


@numba.njit(cache=True, nogil=True)
def deal(labels: Labels, user: int, drawn: Array, positives: int, from_hard: int, out: Array, end: int) -> int:
    """Write a user's triplets to out from row `end`: each positive with its share of the drawn, the hard ones first."""
    negatives = drawn.size // positives
    from_easy = negatives - from_hard
    positive = 0
    for i in range(labels.liked_ptr[user], labels.liked_ptr[user + 1]):
        if labels.split[i] != 0:
            continue
        hards, easies = positive * from_hard, positives * from_hard + positive * from_easy
        for k in range(negatives):
            out[end, 0], out[end, 1] = user, labels.liked[i]
            out[end, 2] = drawn[hards + k] if k < from_hard else drawn[easies + k - from_hard]
            end += 1
        positive += 1
    return end


@numba.njit(cache=True, nogil=True)
def count_train(labels: Labels, first: int, last: int) -> int:
    """Likes of users first..last that are in training."""
    total = 0
    for i in range(labels.liked_ptr[first], labels.liked_ptr[last]):
        total += labels.split[i] == 0
    return total


@numba.njit(cache=True, nogil=True)
def random_batches(
    labels: Labels, first: int, last: int, negatives: int, everybody: Array, seed: np.uint64, space: Space
) -> tuple[Array, Array, Array]:
    """Held-out positives of users first..last with distinct negatives from `everybody`, int32 rows (playlists,).

    int32 (N, 2 + negatives): user, positive, negatives; none liked by the user in any part, none owned. uint8 (N):
    the part of each positive. int64 (4, 2): positives left out, by part: owned by the user; too few negatives.
    """
    out, parts = empty_batches(labels, first, last, negatives)
    missing = np.zeros((4, 2), np.int64)
    state, counts = np.zeros(1, np.uint64), space.counts
    end = 0
    for user in range(first, last):
        start, stop = labels.liked_ptr[user], labels.liked_ptr[user + 1]
        state[0] = hashed(seed, user)
        # Counted before drawing: rejection below would never end with fewer playlists left than are asked for.
        own, own_end = labels.owned_ptr[user], labels.owned_ptr[user + 1]
        left = everybody.size - (own_end - own)
        for i in range(start, stop):
            playlist = labels.liked[i]
            counts[playlist] = 1
            left -= labels.offered[playlist] and labels.owner[playlist] != user
        for i in range(own, own_end):
            counts[labels.owned[i]] = 1
        for i in range(start, stop):
            if not held_out(labels, user, i, left >= negatives, missing):
                continue
            out[end, 0], out[end, 1], parts[end] = user, labels.liked[i], labels.split[i]
            k = 2
            while k < 2 + negatives:
                # Rejection, and no pool per user: of all playlists few are liked, so few draws are lost.
                playlist = np.uint64(everybody[np.uint64(below(state, everybody.size))])
                if counts[playlist] == 0:
                    counts[playlist] = 1
                    out[end, k] = playlist
                    k += 1
            for k in range(2, 2 + negatives):
                counts[np.uint64(out[end, k])] = 0
            end += 1
        for i in range(start, stop):
            counts[labels.liked[i]] = 0
        for i in range(own, own_end):
            counts[labels.owned[i]] = 0
    return out[:end].copy(), parts[:end].copy(), missing


@numba.njit(cache=True, nogil=True)
def hard_batches(
    tastes: Tastes, labels: Labels, first: int, last: int, negatives: int, share: float, seed: np.uint64, space: Space
) -> tuple[Array, Array, Array]:
    """As random_batches, with the negatives from the user's hard pool (the top `share`), which must hold enough."""
    out, parts = empty_batches(labels, first, last, negatives)
    missing = np.zeros((4, 2), np.int64)
    bits, state = np.zeros(1, np.uint32), np.zeros(1, np.uint64)
    end = 0
    for user in range(first, last):
        start, stop = labels.liked_ptr[user], labels.liked_ptr[user + 1]
        if not np.any((labels.split[start:stop] == 1) | (labels.split[start:stop] == 2)):
            continue
        _, hard = pool_of(tastes, labels, user, share, space, bits)
        state[0] = hashed(seed, user)
        for i in range(start, stop):
            if held_out(labels, user, i, hard >= negatives, missing):
                out[end, 0], out[end, 1], parts[end] = user, labels.liked[i], labels.split[i]
                draw(space.keys, 0, hard, negatives, state, out[end, 2:])
                end += 1
    return out[:end].copy(), parts[:end].copy(), missing


@numba.njit(cache=True, nogil=True)
def thin(split: Array, part: int, total: int, most: int, other: int) -> None:
    """Leave `most` of the `total` likes of one part of the split, evenly spread, and put the others in `other`."""
    seen = 0
    for i in range(split.size):
        if split[i] == part:
            # Whole numbers, as in Bresenham's line: evenly spread and exact in number, whatever the sizes.
            if (seen + 1) * most // total == seen * most // total:
                split[i] = other
            seen += 1


@numba.njit(cache=True, nogil=True)
def empty_batches(labels: Labels, first: int, last: int, negatives: int) -> tuple[Array, Array]:
    """Room for all held-out positives of users first..last: rows and their parts."""
    count = 0
    for i in range(labels.liked_ptr[first], labels.liked_ptr[last]):
        count += labels.split[i] == 1 or labels.split[i] == 2
    return np.empty((count, 2 + negatives), np.int32), np.empty(count, np.uint8)


@numba.njit(cache=True, nogil=True)
def held_out(labels: Labels, user: int, like: int, enough: bool, missing: Array) -> bool:
    """Whether a like is a positive of validation (1) or test (2) that gets a row; counts in `missing` why not."""
    part = labels.split[like]
    if part != 1 and part != 2:
        return False
    if labels.owner[labels.liked[like]] == user:
        missing[part, 0] += 1
        return False
    if not enough:
        missing[part, 1] += 1
        return False
    return True
