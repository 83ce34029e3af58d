"""Loops over candidates' sources: the playlists nearest to a factor, joined with others, and the bits of a list."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.kernels.order import offer
from spotify_buddies.serve_app.ranking.kernels.scoring import LIVE, dot

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def nearest(vectors: Array, factors: Array, out: Array) -> None:
    """The rows of factors float32 (rows, e) with the largest inner products with each of vectors float32 (n, e).

    out int32 (n, k), best first, -1 where there are no more; ties go to the lower row.
    """
    scores = np.empty(out.shape[1], np.float32)
    for i in range(vectors.shape[0]):
        count = 0
        out[i] = -1
        for row in range(factors.shape[0]):
            count = offer(out[i], scores, count, row, dot(vectors[i], factors[row]))


@njit(cache=True, nogil=True)
def join(left: Array, left_bit: int, right: Array, right_bit: int, rows: Array, bits: Array, counts: Array) -> None:
    """Two lists of candidates a user as one, each playlist once: left, right int32 (n, any), -1 where there is none.

    Writes rows int32, bits uint8 (n, both widths) and counts int64 (n,).
    """
    for i in range(left.shape[0]):
        count = 0
        for playlist in left[i]:
            if playlist >= 0:
                rows[i, count], bits[i, count] = playlist, left_bit
                count += 1
        before = count
        for playlist in right[i]:
            if playlist < 0:
                continue
            place = 0
            while place < before and rows[i, place] != playlist:
                place += 1
            if place < before:
                bits[i, place] |= right_bit
            else:
                rows[i, count], bits[i, count] = playlist, right_bit
                count += 1
        counts[i] = count


@njit(cache=True, nogil=True)
def whole_scores(
    stored: Any, users: Array, vectors: Array, factors: Array, indptr: Array, given: Array, ordered: Array, out: Array
) -> None:
    """Row i of (indptr, given) best first into ordered, with scores into out: those that are stored, else products.

    stored: (indptr, candidates, values) by user row, whose values hold what is no product of factors. users: the user
    row of each row, -1 for nobody, whose rows are left as they are.

    Stored ones first, so that equal lists have equal scores: a product summed elsewhere differs in the last digit.
    """
    starts, candidates, values = stored
    for i in range(users.size):
        user, first, last = users[i], indptr[i], indptr[i + 1]
        scores, place = np.zeros(last - first, np.float32), 0
        for j in range(last - first):
            if user < 0:
                continue
            # Given rows mostly follow the order of the candidates: the next one is looked for behind the last.
            size, found = starts[user + 1] - starts[user], False
            for step in range(size):
                k = starts[user] + (place + step) % size
                if candidates[k] == given[first + j]:
                    scores[j], place, found = values[k], (place + step) % size, True
                    break
            if not found:
                scores[j] = dot(vectors[user], factors[given[first + j]])
        order = np.argsort(-scores, kind="mergesort")
        for j in range(last - first):
            ordered[first + j], out[first + j] = given[first + order[j]], scores[order[j]]


@njit(cache=True, nogil=True)
def mark(
    indptr: Array,
    candidates: Array,
    bits: Array,
    candidate_rows: Array,
    list_sources: Array,
    rows: Array,
    counts: Array,
    otherwise: int,
    popular: int,
    out: Array,
) -> None:
    """The source bits of the playlists of lists: uint8 (users, limit), 0 beyond the counts.

    Row candidate_rows[i] of (indptr, candidates, bits) are the candidates of list i, -1: none are known. bits may be
    empty: then what is no popular playlist has the bit `otherwise`. Lists of another source than LIVE get `popular`.
    """
    out[:] = 0
    for i in range(rows.shape[0]):
        row = candidate_rows[i]
        for j in range(counts[i]):
            if list_sources[i] != LIVE:
                out[i, j] = popular
            elif bits.size == 0:
                out[i, j] = otherwise
            elif row >= 0:
                # Lists hold the best, and candidates are sorted, or few.
                for k in range(indptr[row], indptr[row + 1]):
                    if candidates[k] == rows[i, j]:
                        out[i, j] = bits[k]
                        break
