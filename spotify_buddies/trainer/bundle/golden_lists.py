"""The choice of golden users, and their lists with plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle.bundle import Bundle
from spotify_buddies.trainer.bundle.golden import LENGTH, Golden

Array = npt.NDArray[Any]

USERS = 8
# Users looked at: enough to find USERS whose lists are clear even where most are not.
LOOKED_AT = 64
# Neighbouring scores of a golden list differ by more than this share of the largest: float32 sums in another order
# differ by a hundredth of it, so the order is the same wherever it is computed.
CLEAR = 1e-4
# Far above what sums differ by between machines, so that the same parts give the same bytes.
DECIMALS = 6


def find_golden(bundle: Bundle) -> tuple[Golden, ...]:
    """At most USERS, evenly over those with finite scores; fewer, or none, where scores are too near each other."""
    eligible = _scored(bundle.candidates)
    tried = (_golden(bundle, user) for user in _evenly(eligible, LOOKED_AT).tolist())
    clear = [golden for golden in tried if golden is not None]
    return tuple(clear[i] for i in _evenly(np.arange(len(clear)), USERS).tolist())


def _scored(candidates: Csr) -> Array:
    """Users with candidates whose first and last stored scores are finite: sorted, the others lie between them."""
    users = np.flatnonzero(np.diff(candidates.indptr))
    if candidates.values is None:
        return users
    first, last = candidates.indptr[users], candidates.indptr[users + 1] - 1
    scored: Array = users[np.isfinite(candidates.values[first]) & np.isfinite(candidates.values[last])]
    return scored


def _golden(bundle: Bundle, user: int) -> Golden | None:
    rows = np.asarray(bundle.candidates.row(user))
    others = bundle.owner[rows] != user
    if bundle.refused is not None:
        others &= ~np.isin(rows, bundle.refused.row(user))
    rows = rows[others]
    # In double precision, so that nothing depends on the order of a sum.
    factor, factors = (a.astype(np.float64) for a in (bundle.user_factors[user], bundle.playlist_factors[rows]))
    scores = (factors * factor).sum(axis=1)
    if bundle.candidate_offsets is not None:
        first = int(bundle.candidates.indptr[user])
        scores = scores + bundle.candidate_offsets[first : first + others.size][others]
    order = np.argsort(-scores, kind="stable")[: LENGTH + 1]
    best = scores[order]
    if (
        not best.size
        or not np.isfinite(best).all()
        or not np.all(-np.diff(best) > CLEAR * max(1e-6, float(np.abs(best).max())))
    ):
        return None
    kept = order[:LENGTH]
    ids = bundle.playlist_ids.table
    return Golden(
        bundle.user_ids.table[user],
        tuple(ids[row] for row in rows[kept].tolist()),
        tuple(round(score, DECIMALS) for score in scores[kept].tolist()),
    )


def _evenly(values: Array, most: int) -> Array:
    """At most so many of the values, evenly spaced, in their order."""
    if values.size <= most:
        return values
    chosen: Array = values[np.linspace(0, values.size - 1, most).astype(np.int64)]
    return chosen
