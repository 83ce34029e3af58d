"""Means and ratios over listeners with intervals: the listener is the unit, however often one reacts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval. low, high: None where there are fewer than two listeners or none that differ."""

    value: float
    low: float | None
    high: float | None
    listeners: int


@dataclass(frozen=True)
class Spread:
    """An estimate as the sum of what each listener contributes to its error.

    keys int64 (n,), one per listener; errors float64 (n,), whose sum of squares is the estimate's variance.
    """

    value: float
    keys: Array
    errors: Array

    @property
    def variance(self) -> float:
        """Of the estimate; 0 for a single listener too."""
        return float(self.errors @ self.errors)


def ratio(keys: Array, above: Array, below: Array) -> Spread:
    """Sum over sum, one entry per listener. Delta method (Deng, Knoblich and Lu 2018). ValueError: below is all 0.

    The variance of sum(y) / sum(n) is that of the mean of (y - R n) / mean(n), with n - 1 below it.
    """
    total = float(below.sum())
    if total == 0:
        raise ValueError("a ratio of nothing")
    value = float(above.sum()) / total
    count = keys.size
    errors = (above - value * below) / total * np.sqrt(count / max(count - 1, 1))
    return Spread(value, keys, errors)


def mean(keys: Array, values: Array) -> Spread:
    """The mean over listeners, one entry each. ValueError: nobody."""
    return ratio(keys, values, np.ones(values.size))


def estimate(spread: Spread) -> Estimate:
    """The figure with its interval, Student's t with a degree of freedom less than there are listeners."""
    return _interval(spread.value, spread.variance, spread.keys.size - 1, spread.keys.size)


def difference(left: Spread, right: Spread) -> Estimate:
    """Of left - right. A listener in both counts once, with both errors; degrees of freedom of Welch (1947).

    None of low and high where a side has a single listener.
    """
    keys = np.concatenate([left.keys, right.keys])
    _, places = np.unique(keys, return_inverse=True)
    errors = np.bincount(places, np.concatenate([left.errors, -right.errors]))
    sides = [(side.variance, side.keys.size - 1) for side in (left, right)]
    below = sum(variance**2 / max(free, 1) for variance, free in sides)
    free = sum(variance for variance, _ in sides) ** 2 / below if below else 0.0
    if min(free_of for _, free_of in sides) < 1:
        free = 0.0
    return _interval(left.value - right.value, float(errors @ errors), free, errors.size)


def summed(keys: Array, *columns: Array) -> tuple[Array, ...]:
    """Each key once, ascending, and the sums of each column over the rows of a key."""
    found, places = np.unique(keys, return_inverse=True)
    return found, *(np.bincount(places, column, found.size) for column in columns)


def _interval(value: float, variance: float, free: float, listeners: int) -> Estimate:
    if free <= 0 or variance <= 0:
        return Estimate(value, None, None, listeners)
    from scipy.special import stdtrit  # of Student's t; scipy.stats has it too, and takes a second to load

    half = float(stdtrit(free, (1 + LEVEL) / 2)) * variance**0.5
    return Estimate(value, value - half, value + half, listeners)
