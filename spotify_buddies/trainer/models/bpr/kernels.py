"""The hot loops of BPR: order and draws of triplets, the update, scores of pairs, shared songs, ranks and top lists.

fastmath is limited to reordering and fusing sums, so that NaN and infinity still show up in the loss.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from spotify_buddies.foundation.arrays.streams import fraction, hashed

Array = npt.NDArray[Any]

_FAST = {"reassoc", "contract", "nsz"}
_LINE = 16  # float32 in a cache line
_AHEAD = 4  # triplets; 2 to 8 are alike
_ROUNDS = 6  # an even number, so that the halves have their widths again at the end
_FACTORS = 32  # triplets that share a logarithm; 2^32 is far from overflow


@intrinsic
def prefetch(_context: Any, array: Any, index: Any) -> Any:  # noqa: ARG001, numba reads the number of arguments
    """Ask for the cache line of array[index], of one dimension and contiguous; changes nothing and does not wait."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        call = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        place = builder.bitcast(builder.gep(data, [arguments[1]]), pointer)
        builder.call(call, [place, number(1), number(3), number(1)])  # to write, keep in every cache, data
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@njit(cache=True, nogil=True)
def prefetch_row(table: Array, squares: Array, row: int, dimension: int) -> None:
    """Ask for a row of factors, table being all rows in one dimension, and for its sum of squares."""
    first = np.int64(row) * dimension
    for k in range(0, dimension, _LINE):
        prefetch(table, first + k)
    prefetch(squares, row)


@njit(cache=True, nogil=True, fastmath=_FAST)
def products(user: Array, positive: Array, negative: Array) -> tuple[Any, ...]:
    """u.p, u.(p - n), |u|^2, |p|^2, |n|^2 and |p - n|^2, float32, in one walk over the three rows."""
    up, margin, uu = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    pp, nn, dd = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for k in range(user.size):
        w, a, b = user[k], positive[k], negative[k]
        difference = a - b
        up += w * a
        margin += w * difference
        uu += w * w
        pp += a * a
        nn += b * b
        dd += difference * difference
    return up, margin, uu, pp, nn, dd


@njit(cache=True, nogil=True, fastmath=_FAST)
def update(
    triplets: Array,
    users: Array,
    playlists: Array,
    user_squares: Array,
    playlist_squares: Array,
    rate: float,
    decay: float,
) -> float:
    """One step of BPR (Rendle et al. 2009) for each of the triplets int32 (n, 3), in place; returns the summed loss.

    loss = -log sigmoid(u . (p - n)) + decay / 2 * (|u|^2 + |p|^2 + |n|^2). Row-wise Adagrad: `squares` float32 (rows,)
    sum the mean squared gradient of a row, and a row's step is rate / sqrt(squares). The three rows step at once, from
    the values before the step. The loss that is returned leaves the regularisation out. Tables are contiguous float32.

    Memory is what it waits for: three rows at random places. So it asks for the rows of a triplet some triplets ahead,
    and walks over each row twice, once for all products, which give the squared gradients too, and once to step.
    """
    dimension = users.shape[1]
    all_users, all_playlists = users.reshape(-1), playlists.reshape(-1)
    step, pull = np.float32(rate), np.float32(decay)
    share, zero, one = np.float32(1.0 / dimension), np.float32(0.0), np.float32(1.0)
    total, odds = 0.0, 1.0
    for at in range(len(triplets)):
        if at + _AHEAD < len(triplets):
            prefetch_row(all_users, user_squares, triplets[at + _AHEAD, 0], dimension)
            prefetch_row(all_playlists, playlist_squares, triplets[at + _AHEAD, 1], dimension)
            prefetch_row(all_playlists, playlist_squares, triplets[at + _AHEAD, 2], dimension)
        u, p, n = triplets[at, 0], triplets[at, 1], triplets[at, 2]
        user, positive, negative = users[u], playlists[p], playlists[n]
        up, margin, uu, pp, nn, dd = products(user, positive, negative)
        e = math.exp(-abs(margin))  # never overflows
        total += max(-float(margin), 0.0)
        odds *= 1.0 + e  # in 1..2: the logarithm of a product of a few is the sum of theirs
        if at % _FACTORS == 0:
            total += math.log(odds)
            odds = 1.0
        push = np.float32(e / (1.0 + e)) if margin > 0 else np.float32(1.0 / (1.0 + e))
        both, cross, own = push * push, np.float32(2.0) * push * pull, pull * pull
        # |pull u - push (p - n)|^2 and so on, multiplied out; rounding must not make them negative.
        user_squares[u] += max(own * uu - cross * margin + both * dd, zero) * share
        playlist_squares[p] += max(own * pp - cross * up + both * uu, zero) * share
        playlist_squares[n] += max(own * nn + cross * (up - margin) + both * uu, zero) * share
        ru = step / np.sqrt(user_squares[u])
        rp = step / np.sqrt(playlist_squares[p])
        rn = step / np.sqrt(playlist_squares[n])
        keep_u, keep_p, keep_n = one - ru * pull, one - rp * pull, one - rn * pull
        ru, rp, rn = ru * push, rp * push, rn * push
        for k in range(dimension):
            w, a, b = user[k], positive[k], negative[k]
            user[k] = keep_u * w + ru * (a - b)
            positive[k] = keep_p * a + rp * w
            negative[k] = keep_n * b - rn * w
    return total + math.log(odds)


@njit(cache=True, nogil=True)
def pick(rows: Array, keys: Array, mask: int, users: int, playlists: int, out: Array) -> int:
    """out[i] = rows[keys[i] & mask], (n, 3); the first i whose row is out of range, or n."""
    for i in range(keys.size):
        at = np.int64(keys[i]) & mask
        u, p, n = rows[at, 0], rows[at, 1], rows[at, 2]
        if min(u, p, n) < 0 or u >= users or p >= playlists or n >= playlists:
            return i
        out[i, 0], out[i, 1], out[i, 2] = u, p, n
    return int(keys.size)


@njit(cache=True, nogil=True)
def shuffled(first: int, total: int, seed: Any, out: Array) -> None:
    """out[i] = where place first + i of 0..total comes to lie in a random order of them, integers; total at least 1.

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


@njit(cache=True, nogil=True)
def draw_triplets(
    places: Array,
    positives_ptr: Array,
    positives: Array,
    hard_ptr: Array,
    hard: Array,
    easy_ptr: Array,
    easy: Array,
    negatives: int,
    from_hard: int,
    seed: Any,
    out: Array,
) -> None:
    """The triplets at ascending places, integers (n,), of an epoch, int32 (n, 3). CSR (U, P): positives, hard, easy.

    Place t belongs to positive t // negatives. Its negative comes from the user's hard pool where t % negatives is
    below from_hard, else from the easy one, and from the other where that is empty; every playlist of a pool is as
    likely. Users with positives have at least one playlist in their pools. The draw depends on seed and place alone.
    """
    if places.size == 0:
        return
    user = np.searchsorted(positives_ptr, places[0] // negatives, side="right") - 1
    for i in range(places.size):
        positive = places[i] // negatives
        while positives_ptr[user + 1] <= positive:
            user += 1
        hards, easies = hard_ptr[user + 1] - hard_ptr[user], easy_ptr[user + 1] - easy_ptr[user]
        bits = hashed(seed, places[i]) >> np.uint64(32)
        if easies == 0 or (hards > 0 and places[i] - positive * negatives < from_hard):
            negative = hard[hard_ptr[user] + np.int64((bits * np.uint64(hards)) >> np.uint64(32))]
        else:
            negative = easy[easy_ptr[user] + np.int64((bits * np.uint64(easies)) >> np.uint64(32))]
        out[i, 0], out[i, 1], out[i, 2] = user, positives[positive], negative


@njit(cache=True, nogil=True, fastmath=_FAST)
def score_pairs(users: Array, playlists: Array, user_rows: Array, playlist_rows: Array, out: Array) -> None:
    """out[i] = users[user_rows[i]] . playlists[playlist_rows[i]], float32."""
    for i in range(user_rows.size):
        user, playlist = users[user_rows[i]], playlists[playlist_rows[i]]
        total = np.float32(0.0)
        for k in range(user.size):
            total += user[k] * playlist[k]
        out[i] = total


@njit(cache=True, nogil=True)
def count_shared(
    user_indptr: Array,
    user_songs: Array,
    playlist_indptr: Array,
    playlist_songs: Array,
    user_rows: Array,
    playlist_rows: Array,
    out: Array,
) -> None:
    """out[i] = number of songs that user_rows[i] and playlist_rows[i] share; song lists ascending."""
    for i in range(user_rows.size):
        a, a_end = user_indptr[user_rows[i]], user_indptr[user_rows[i] + 1]
        b, b_end = playlist_indptr[playlist_rows[i]], playlist_indptr[playlist_rows[i] + 1]
        shared = 0
        while a < a_end and b < b_end:
            left, right = user_songs[a], playlist_songs[b]
            shared += left == right
            a += left <= right
            b += right <= left
        out[i] = shared


@njit(cache=True, nogil=True)
def random_scores(seed: Any, user_rows: Array, playlist_rows: Array, out: Array) -> None:
    """out[i] = a number in [0, 1) that depends on the seed and on the pair alone."""
    for i in range(user_rows.size):
        out[i] = fraction(hashed(seed, (np.int64(user_rows[i]) << 32) + playlist_rows[i]))


@njit(cache=True, nogil=True)
def mid_ranks(scores: Array, out: Array) -> None:
    """out[i] = rank of scores[i, 0] in row i, from 1, ties in the middle. Scores that do not compare rank it last."""
    for i in range(scores.shape[0]):
        lower, equal = 0, 0
        for k in range(1, scores.shape[1]):
            lower += scores[i, 0] > scores[i, k]
            equal += scores[i, 0] == scores[i, k]
        out[i] = 1.0 + (scores.shape[1] - 1 - lower - equal) + 0.5 * equal


@njit(cache=True, nogil=True)
def mark_top(indptr: Array, indices: Array, scores: Array, count: int, marked: Array) -> None:
    """marked[p] = True for each p that is among the `count` best scored of any row; ties go to the first in the row."""
    for row in range(indptr.size - 1):
        begin, end = indptr[row], indptr[row + 1]
        for i in range(begin, end):
            better = 0
            for j in range(begin, end):
                better += scores[j] > scores[i] or (scores[j] == scores[i] and j < i)
            if better < count:
                marked[indices[i]] = True
