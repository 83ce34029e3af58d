"""Lists whose places are drawn at random, each with the probability of what was drawn there.

At each place the `top` best playlists that the rules admit after those that are in the list already are the window, and
one of them is drawn. Its probability depends on the window alone, and the window on the places before: so what is
written is the conditional propensity of the place, exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.foundation.arrays.streams import fraction, hashed
from spotify_buddies.serve_app.ranking.kernels.columns import Asked, Catalogue, Limits, ListColumns, ListRules
from spotify_buddies.serve_app.ranking.kernels.rules import MARKS, fits, is_allowed, refused_to
from spotify_buddies.serve_app.ranking.kernels.scoring import (
    LIVE,
    POPULAR,
    POPULAR_IN_GENRE,
    keep,
    keep_scored,
    longest,
    score_all,
)
from spotify_buddies.serve_app.ranking.kernels.weighing import grow, weights_of
from spotify_buddies.serve_app.ranking.prefetch import borrowed

Array = npt.NDArray[Any]

# Of ranking.rules.Policy.
EPSILON = 1
# More playlists of an owner than any list has places: owners are counted apart.
ANY_NUMBER = 1 << 30


@njit(cache=True, nogil=True)
def draw_place(policy: int, parameter: float, values: Array, drawn: float) -> tuple[int, float]:
    """The place in a window that is drawn, and its probability. values (n,), n > 0: what orders the window, best first.

    drawn: uniform in [0, 1). EPSILON: with the probability `parameter` each evenly, else the first. PLACKETT_LUCE:
    softmax of values / parameter, by inversion; a list drawn so, place by place, has the distribution of Gumbel-top-k
    (Yellott 1977; Kool and others 2019). Values that are not finite: the first, surely.
    """
    size = values.size
    if size == 1:
        return 0, 1.0
    if policy == EPSILON:
        even = parameter / size
        place = min(int(drawn / parameter * size), size - 1) if drawn < parameter else 0
        return place, even + (1.0 - parameter if place == 0 else 0.0)
    weights = np.empty(size, np.float64)
    total = 0.0
    for k in range(size):
        weights[k] = np.exp((values[k] - values[0]) / parameter)
        total += weights[k]
    if not np.isfinite(total):
        return 0, 1.0
    reached, place = 0.0, 0
    for k in range(size):
        # What has no weight, beside the others, is not drawn by rounding.
        if weights[k] > 0.0:
            place = k
            reached += weights[k]
            if drawn * total < reached:
                break
    return place, weights[place] / total


@njit(cache=True, nogil=True)
def owned_by(rows: Array, count: int, owner: Array, of: int) -> int:
    """How many of the first `count` rows belong to an owner; none to nobody."""
    same = 0
    for k in range(count if of >= 0 else 0):
        same += owner[rows[k]] == of
    return same


@njit(cache=True, nogil=True)
def drawn_list(
    playlists: Array, values: Array, weights: Array, order: Array, genre_of: Array, wanted: Array, calibration: float,
    user: int, refused: Array, excluded: Array, blocked: Array, owner: Array, sketches: Array, song_bits: Array,
    song_indptr: Array, songs: Array, limits: Limits, policy: int, parameter: float, top: int, seed: int,
    rows: Array, scores: Array, propensities: Array,
) -> int:  # fmt: skip
    """Fill a list place by place and return its length.

    weights float64: what orders the playlists, best first in the order `order`; with a calibration, its part of each
    place's own order, see weighing.weigh. scores: of `values`. propensities: of each place that is filled.

    A playlist that the rules refuse once they refuse for good, whatever follows: so those that are looked at wait in a
    pool and are compared with the newest playlist of the list alone.
    """
    c = calibration if wanted.size > 0 and wanted.sum() > 0.0 else 0.0
    room = playlists.size if c > 0.0 else min(top, playlists.size)
    pool, ordered, by_value = np.empty(room, np.int64), np.empty(room, np.float64), np.empty(room, np.int64)
    taken, gains = np.zeros(wanted.size, np.int64), np.zeros(wanted.size, np.float64)
    apart = Limits(ANY_NUMBER, limits.most_equal, limits.most_contained, limits.marks)
    count, size, ahead = 0, 0, 0
    while count < rows.size:
        # Who waits and does not fit behind the newest leaves; others come, in order.
        left = 0
        for k in range(size):
            playlist = playlists[pool[k]]
            if owned_by(rows, count, owner, owner[playlist]) < limits.max_per_owner and fits(
                playlist, rows[count - 1 : count], 1, owner, sketches, song_bits, song_indptr, songs, apart
            ):
                pool[left] = pool[k]
                left += 1
        size = left
        while size < room and ahead < order.size:
            j = order[ahead]
            ahead += 1
            if is_allowed(user, playlists[j], owner, refused, excluded, blocked) and fits(
                playlists[j], rows, count, owner, sketches, song_bits, song_indptr, songs, limits
            ):
                pool[size] = j
                size += 1
        if size == 0:
            break
        if c > 0.0:
            grow(wanted, taken, count, gains)
        for k in range(size):
            genre = genre_of[playlists[pool[k]]] if c > 0.0 else -1
            ordered[k] = (1.0 - c) * weights[pool[k]] + (c * gains[genre] if genre >= 0 else 0.0)
        window = min(size, top)
        if c > 0.0:
            by_value[:size] = np.argsort(-ordered[:size], kind="mergesort")
            ordered[:size] = ordered[by_value[:size]]
        place, propensity = draw_place(policy, parameter, ordered[:window], fraction(hashed(seed, count)))
        place = by_value[place] if c > 0.0 else place
        best = pool[place]
        for k in range(place, size - 1):
            pool[k] = pool[k + 1]
        size -= 1
        rows[count], scores[count], propensities[count] = playlists[best], values[best], propensity
        if c > 0.0 and genre_of[playlists[best]] >= 0:
            taken[genre_of[playlists[best]]] += 1
        count += 1
    return count


def explore(
    asked: Asked, catalogue: Catalogue, rules: ListRules, lists: ListColumns, draws: tuple[int, float, int, Array],
    propensities: Array,
) -> None:  # fmt: skip
    """As scoring.rank, but every place is drawn. draws: policy, parameter and top of a ranking.rules.Exploration, and
    seeds uint64 (users,). propensities float32 (users, limit): of the places that are filled; others are left.
    """
    explore_columns(tuple(asked), tuple(catalogue), tuple(rules), tuple(lists), draws, propensities)


@njit(cache=True, nogil=True)
def explore_columns(
    asked: tuple[Any, ...], catalogue: tuple[Any, ...], rules: tuple[Any, ...], lists: tuple[Any, ...],
    draws: tuple[Any, ...], propensities: Array,
) -> None:  # fmt: skip
    """As explore, with the fields of its arguments."""
    asked, catalogue = borrowed(asked), borrowed(catalogue)
    users, vectors, vector_rows, indptr, candidates, candidate_scores, candidate_rows, genre_rows, shares = asked
    factors, owner, sketches, popular, popular_scores, genre_indptr, genre_popular, genre_scores = catalogue[:8]
    song_indptr, songs, song_bits, novelty, genre_of, refused_indptr, all_refused = catalogue[8:]
    rules, lists = borrowed(rules), borrowed(lists)
    excluded, blocked_indptr, all_blocked, max_per_owner, most_equal, most_contained, adventurous, calibration = rules
    all_rows, all_scores, counts, sources = lists
    policy, parameter, top, seeds = draws
    limits = Limits(max_per_owner, most_equal, most_contained, np.zeros(MARKS, np.uint8))
    scored = candidate_scores.size > 0
    weighed = (adventurous > 0.0 and novelty.size > 0) or (calibration > 0.0 and shares.shape[0] > 0)
    most = longest(indptr, candidate_rows)
    kept, found = np.empty(most, np.int32), np.empty(most, np.float32)
    nobody = np.empty(0, np.float32)
    for i in range(users.size):
        user, row = users[i], candidate_rows[i]
        genre = genre_rows[i] if genre_rows.size > 0 else -1
        blocked = all_blocked[blocked_indptr[i] : blocked_indptr[i + 1]]
        refused = refused_to(user, refused_indptr, all_refused)
        count = 0
        # Own candidates, then what is popular in the genre, then with everybody: the first that fills a place.
        for source in (LIVE, POPULAR_IN_GENRE, POPULAR):
            wanted = nobody
            if source == LIVE:
                if row < 0:
                    continue
                mine = candidates[indptr[row] : indptr[row + 1]]
                if scored:
                    given = candidate_scores[indptr[row] : indptr[row + 1]]
                    size = keep_scored(mine, given, user, owner, refused, excluded, blocked, kept, found)
                else:
                    size = keep(mine, user, owner, refused, excluded, blocked, kept)
                    score_all(vectors[vector_rows[i]], kept, size, factors, found)
                playlists, values = kept[:size], found[:size]
                weights = weights_of(playlists, values, novelty, adventurous) if weighed else values.astype(np.float64)
                calibrated = calibration > 0.0 and shares.shape[0] > 0
                wanted = shares[i] if calibrated else nobody
                # Calibrated, each place has an order of its own.
                order = np.arange(size) if calibrated else np.argsort(-weights, kind="mergesort")
            elif source == POPULAR:
                playlists, values = popular.copy(), popular_scores.copy()
                weights, order = values.astype(np.float64), np.arange(values.size)
            elif genre >= 0:
                first, last = genre_indptr[genre], genre_indptr[genre + 1]
                playlists, values = genre_popular[first:last].copy(), genre_scores[first:last].copy()
                weights, order = values.astype(np.float64), np.arange(values.size)
            else:
                continue
            sources[i] = source
            count = drawn_list(
                playlists, values, weights, order, genre_of, wanted, calibration, user, refused, excluded, blocked,
                owner, sketches, song_bits, song_indptr, songs, limits, policy, parameter, top, seeds[i],
                all_rows[i], all_scores[i], propensities[i],
            )  # fmt: skip
            if count > 0:
                break
        counts[i] = count
