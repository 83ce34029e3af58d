"""CUPED: a listener's own like rate before the window takes out what was different before (Deng and others 2013)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.online.evaluation.estimates import Spread, mean

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Adjusted:
    """One arm's mean, adjusted. reduction: the share of the variance that is gone; with_past: listeners with a past."""

    spread: Spread
    reduction: float
    with_past: int


def adjust(keys: Sequence[Array], values: Sequence[Array], before: Sequence[Array]) -> list[Adjusted] | None:
    """One entry per arm, each of arrays with one entry per listener. before: the covariate, NaN without a past.

    A listener without a past gets the mean of all who have one. One theta for all arms, from deviations within them.
    None: nobody has a past, or all pasts, or all values of each arm, are alike.
    """
    known = [past[~np.isnan(past)] for past in before]
    if not sum(map(len, known)):
        return None
    middle = float(np.concatenate(known).mean())
    filled = [np.where(np.isnan(past), middle, past) for past in before]
    below = sum(_product(past, past) for past in filled)
    if below <= 0 or any(_product(value, value) <= 0 for value in values):
        return None
    theta = sum(map(_product, values, filled)) / below
    found = []
    for key, value, past, had in zip(keys, values, filled, known, strict=True):
        adjusted = value - theta * (past - middle)
        spread = mean(key, adjusted)
        found.append(Adjusted(spread, 1 - _product(adjusted, adjusted) / _product(value, value), len(had)))
    return found


def _product(left: Array, right: Array) -> float:
    return float((left - left.mean()) @ (right - right.mean())) if left.size else 0.0
