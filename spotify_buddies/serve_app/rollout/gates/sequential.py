"""A test of two like rates that may be looked at all the time: the mixture sequential probability ratio test.

Johari, Pekelis, Walsh: "Always valid inference" (arXiv:1512.04922) and "Peeking at A/B tests" (KDD 2017), after Robbins
1970. The estimated difference d of two means, with variance V, is tested against "not worse" by the likelihood ratio
mixed over worse differences: half a normal distribution of scale tau at 0, of which the textbook form takes both sides.

    L = 2 Phi(-x) sqrt(V / (V + tau^2)) exp(x^2 / 2),   x = d tau / sqrt(V (V + tau^2))

Where the true difference is 0 or above, L is a supermartingale that starts at 1, so by Ville's inequality it ever
reaches 1 / alpha with a probability of at most alpha, however often it is looked at. V is estimated, so this holds for
samples that are not small. Listeners are the independent unit: a listener's reactions depend on each other, so each
listener counts once, with the share of the own reactions that were likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

Floats = npt.NDArray[np.float64]
# The bound is a fixed point that contracts faster than fourfold: this many turns are exact to double precision.
_TURNS = 40


@dataclass(frozen=True)
class Likes:
    """The listeners of an arm who reacted. total, squares: sums of their like rates (each 0 to 1) and of the squares.

    reactions: of all of them together.
    """

    listeners: int = 0
    total: float = 0.0
    squares: float = 0.0
    reactions: int = 0

    @property
    def rate(self) -> float | None:
        """Mean of the listeners' like rates; None without listeners."""
        return self.total / self.listeners if self.listeners else None


@dataclass(frozen=True)
class Comparison:
    """The canary's like rate minus production's. low, high: each by itself holds at all times with 1 - alpha.

    worse_p: always-valid p-value of "the canary is not worse". Not finite where an arm has no listeners.
    """

    difference: float
    low: float
    high: float
    worse_p: float


def compare(canary: Likes, production: Likes, *, effect: float, alpha: float) -> Comparison:
    """Compare at one look. effect: the scale tau, relative to production's like rate."""
    if canary.rate is None or production.rate is None:
        return Comparison(float("nan"), -float("inf"), float("inf"), 1.0)
    variance = float(mean_variance(canary.listeners, canary.total, canary.squares)) + float(
        mean_variance(production.listeners, production.total, production.squares)
    )
    tau = effect * (production.total + 1) / (production.listeners + 2)
    difference = canary.rate - production.rate
    reach = float(radius(variance, tau, alpha))
    p_value = float(np.exp(-np.maximum(0.0, evidence(difference, variance, tau))))
    return Comparison(difference, difference - reach, difference + reach, p_value)


def mean_variance(count: Any, total: Any, squares: Any) -> Floats:
    """Variance of a mean of `count` values of 0 to 1, by their sums; element by element.

    Two made-up values, a 0 and a 1, are added (as Agresti and Caffo do): without a like the variance would be 0.
    """
    many = np.asarray(count, np.float64) + 2
    mean = (np.asarray(total) + 1) / many
    return np.asarray(((np.asarray(squares) + 1) / many - mean**2) / (many - 1), np.float64)


def evidence(difference: Any, variance: Any, tau: Any) -> Floats:
    """The log of L for "worse", element by element; at or above ln(1 / alpha) the canary is worse."""
    whole = np.asarray(variance) + np.square(tau)
    x = np.asarray(difference) * tau / np.sqrt(variance * whole)
    return np.asarray(np.log(2) + log_ndtr(-x) + np.log(variance / whole) / 2 + np.square(x) / 2, np.float64)


def radius(variance: Any, tau: Any, alpha: float) -> Floats:
    """How far from the difference a bound lies: evidence(-radius) is ln(1 / alpha). Element by element."""
    whole = np.asarray(variance) + np.square(tau)
    level = -np.log(alpha) - np.log(variance / whole) / 2
    x = np.sqrt(2 * level)
    for _ in range(_TURNS):
        x = np.sqrt(2 * (level - np.log(2) - log_ndtr(x)))
    return np.asarray(x * np.sqrt(variance * whole) / tau, np.float64)
