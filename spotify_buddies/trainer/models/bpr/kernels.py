"""The compiled loop of BPR: the update of factors by triplets.

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

Array = npt.NDArray[Any]

_FAST = {"reassoc", "contract", "nsz"}
_LINE = 16  # float32 in a cache line
_AHEAD = 4  # triplets; 2 to 8 are alike
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

    It waits for memory: three rows at random places. So it prefetches the rows of a triplet some triplets ahead, and
    walks over each row twice, once for all products, which give the squared gradients too, and once to step.
    """
    dimension = users.shape[1]
    all_users, all_playlists = users.reshape(-1), playlists.reshape(-1)
    step, pull = np.float32(rate), np.float32(decay)
    share, zero, one = np.float32(1.0 / dimension), np.float32(0.0), np.float32(1.0)
    total, odds = 0.0, 1.0
    for t in range(len(triplets)):
        if t + _AHEAD < len(triplets):
            prefetch_row(all_users, user_squares, triplets[t + _AHEAD, 0], dimension)
            prefetch_row(all_playlists, playlist_squares, triplets[t + _AHEAD, 1], dimension)
            prefetch_row(all_playlists, playlist_squares, triplets[t + _AHEAD, 2], dimension)
        u, p, n = triplets[t, 0], triplets[t, 1], triplets[t, 2]
        user, positive, negative = users[u], playlists[p], playlists[n]
        up, margin, uu, pp, nn, dd = products(user, positive, negative)
        e = math.exp(-abs(margin))  # never overflows
        total += max(-float(margin), 0.0)
        odds *= 1.0 + e  # in 1..2: the logarithm of a product of a few is the sum of theirs
        if t % _FACTORS == 0:
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
