"""A test of two like rates that may be looked at all the time: the mixture sequential probability ratio test.

Johari, Pekelis, Walsh: "Always valid inference" (arXiv:1512.04922) and "Peeking at A/B tests" (KDD 2017), after Robbins
1970. The estimated difference d of two means, with variance V, is tested against "not worse" by the likelihood ratio
mixed over worse differences: half a normal distribution of scale tau at 0, of which the textbook form takes both sides.

    L = 2 Phi(-x) sqrt(V / (V + tau^2)) exp(x^2 / 2),   x = d tau / sqrt(V (V + tau^2))

Where the true difference is 0 or above, L is a supermartingale that starts at 1, so by Ville's inequality it ever
reaches 1 / alpha with a probability of at most alpha, however often it is looked at. That is exact for a known V and a
tau that was fixed beforehand. Here both are estimated from the reactions that are tested: V, which `min_reacting` is
for, and tau, as a share of production's like rate. So the alpha is approximate. A tau that follows the estimates moves
L little, as L changes with the root of it while tau changes by the few percent that the like rate is uncertain by;
tests/benchmarks/like_gate.py simulates what remains, and stays below alpha.

Users are the independent unit: a user's reactions depend on each other, so in a step each user counts once, with the
share of the user's reactions that were likes.

The steps of a ramp are strata. Each step has another share of canary users, and like rates drift over days: pooled over
steps of 5 % and 25 % while all rates fall, the canary has more of the late, low rates, and an equal one looks worse
(Simpson's paradox). So d is the mean of the differences within each step, weighted by n m / (n + m) of its n and m
users (Cochran 1954, Mantel and Haenszel 1959): by the information of a step, and not by its rates. A user who reacts to
the same arm in two steps is still one user, which V takes into account. One who moves from production to the canary
makes the difference more certain, if anything, which V leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """The users of an arm who reacted in a step. total, squares: sums of their like rates (each 0 to 1) and of the
    squares. reactions: of all of them together.
    """

    users: int = 0
    total: float = 0.0
    squares: float = 0.0
    reactions: int = 0


@dataclass(frozen=True)
class StepLikes:
    """Both arms in one step."""

    canary: Likes
    production: Likes


@dataclass(frozen=True)
class Returned:
    """The users who reacted to the same arm in two steps, by their places among the steps.

    first_total, second_total: sums of their like rates there; products: of the products of both.
    """

    canary: bool
    first: int
    second: int
    users: int
    first_total: float
    second_total: float
    products: float


@dataclass(frozen=True)
class LikeRates:
    """The reactions to a canary and to production, by step, oldest first. canary_users, production_users: distinct
    users who reacted to each, over all steps.
    """

    steps: tuple[StepLikes, ...] = ()
    returned: tuple[Returned, ...] = ()
    canary_users: int = 0
    production_users: int = 0


@dataclass(frozen=True)
class Comparison:
    """The canary's like rate minus production's. low, high: each by itself holds at all times with 1 - alpha.

    canary, production: the like rates, weighted as the difference is. worse_p: always-valid p-value of "the canary is
    not worse". Not finite where no step has users of both arms.
    """

    difference: float
    low: float
    high: float
    worse_p: float
    canary: float
    production: float


def compare(rates: LikeRates, *, effect: float, alpha: float) -> Comparison:
    """Compare at one look. effect: the scale tau, relative to production's like rate."""
    if not any(step.canary.users and step.production.users for step in rates.steps):
        return Comparison(float("nan"), -float("inf"), float("inf"), 1.0, float("nan"), float("nan"))
    arms = [[(arm.users, arm.total, arm.squares) for arm in (step.canary, step.production)] for step in rates.steps]
    sums = np.array(arms, np.float64).reshape(-1, 2, 3)
    both = combine(sums[..., 0], sums[..., 1], sums[..., 2], rates.returned)
    canary, production, variance = (float(value) for value in both)
    tau = float(scale(production, rates.production_users, effect))
    reach = float(radius(variance, tau, alpha))
    difference = canary - production
    p_value = float(np.exp(-np.maximum(0.0, evidence(difference, variance, tau))))
    return Comparison(difference, difference - reach, difference + reach, p_value, canary, production)


def combine(users: Any, totals: Any, squares: Any, returned: Sequence[Returned]) -> tuple[Floats, Floats, Floats]:
    """The like rates of canary and production over all steps, and the variance of their difference.

    users, totals, squares: (.., steps, 2), of canary and production; those of `returned` may be arrays as well. NaN
    where no step has users of both arms.
    """
    counts = np.asarray(users, np.float64)
    information = counts.prod(axis=-1) / np.maximum(counts.sum(axis=-1), 1)
    whole = information.sum(axis=-1, keepdims=True)
    weights = information / np.where(whole > 0, whole, np.nan)
    least = np.maximum(counts, 1)
    means = np.asarray(totals) / least
    rates = (weights[..., None] * means).sum(axis=-2)
    variance = (np.square(weights) * mean_variance(counts, totals, squares).sum(axis=-1)).sum(axis=-1)
    repeated = np.zeros_like(variance)
    for pair in returned:
        arm = 0 if pair.canary else 1
        first, second = means[..., pair.first, arm], means[..., pair.second, arm]
        moments = pair.products - second * pair.first_total - first * pair.second_total + pair.users * first * second
        covariance = moments / (least[..., pair.first, arm] * least[..., pair.second, arm])
        repeated += 2 * weights[..., pair.first] * weights[..., pair.second] * covariance
    # Returning users make the difference less certain; a negative covariance is chance.
    return rates[..., 0], rates[..., 1], np.asarray(variance + np.maximum(repeated, 0), np.float64)


def scale(production: Any, users: Any, effect: float) -> Floats:
    """Tau: a share of production's like rate, to which a like and a miss are added so that it is never 0."""
    return np.asarray(effect * (np.asarray(production) * users + 1) / (np.asarray(users) + 2), np.float64)


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
