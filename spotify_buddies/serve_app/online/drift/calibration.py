"""Thresholds from a number of false alarms per quarter, by how much quiet days differ from each other.

All functions take arrays whose last axes are (days, bins) or (days,), oldest day first; leading axes are repetitions.

Lists of one day have the day and their listeners in common, so shares vary more from day to day than independent draws
would. That is measured: a history of quiet days gives the intracluster correlation of lists of a day (by the method of
moments, reviewed by Donner 1986), which gives the design effect of any set of days. The distribution of PSI is
stretched by that effect (first-order correction of Rao and Scott 1981). The effect is an estimate from few days, whose
uncertainty turns the chi-square into an F. Weekdays are compared with themselves where the history has two
weeks or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.online.drift.distances import psi, shares

Array = npt.NDArray[Any]

WEEK = 7
QUARTER_DAYS = 90


@dataclass(frozen=True)
class DaySpread:
    """How quiet days differ. correlation (..): of two entries of one day, 0 and more; freedom (..): degrees of freedom
    of that estimate, 0 where the history is too short for one.
    """

    correlation: Array
    freedom: Array


def risk_of_a_test(alarms_per_quarter: float, tests: int, checks_per_day: float = 1.0) -> float:
    """The probability that each of `tests` tests may have of a false alarm in one check, so that all of them together
    raise `alarms_per_quarter` in 90 quiet days in expectation. Expectations add up, so dependence does not matter.
    """
    return alarms_per_quarter / (QUARTER_DAYS * checks_per_day * tests)


def spread_of_days(history: Array) -> DaySpread:
    """The spread of the daily counts of quiet days, (.., days, bins). Days without entries are left out."""
    history = np.asarray(history, np.float64)
    days, bins = history.shape[-2:]
    total = np.zeros(history.shape[:-2])
    freedom, weight, excess = np.zeros_like(total), np.zeros_like(total), np.zeros_like(total)
    for group in _weekdays(days):
        counts = history[..., group, :]
        sizes = counts.sum(axis=-1)
        expected = sizes[..., None] * _pooled(counts)[..., None, :]
        squares = np.divide((counts - expected) ** 2, expected, out=np.zeros_like(counts), where=expected > 0)
        entries, filled = sizes.sum(axis=-1), (sizes > 0).sum(axis=-1)
        degrees = np.maximum(filled - 1, 0)
        total += squares.sum(axis=(-2, -1))
        freedom += degrees * (bins - 1)
        # Entries per day as the moment estimator needs them: n0 (Donner 1986, equation 3).
        tilted = np.divide((sizes**2).sum(axis=-1), entries, out=np.zeros_like(entries), where=entries > 0)
        weight += degrees
        excess += entries - tilted
    effect = np.divide(total, freedom, out=np.ones_like(total), where=freedom > 0)
    typical = np.divide(excess, weight, out=np.zeros_like(total), where=weight > 0)
    correlation = np.divide(effect - 1, typical - 1, out=np.zeros_like(total), where=typical > 1)
    return DaySpread(np.maximum(correlation, 0.0), freedom)


def variance_of(sizes: Array, spread: DaySpread) -> Array:
    """Variance of the share of a bin over some days, as a multiple of p (1 - p); shape (..).

    sizes (.., days): entries of each day. 1 / N for independent entries, times the design effect
    1 + correlation * (sum of sizes squared / N - 1) (Kish 1965). Infinite without entries.
    """
    sizes = np.asarray(sizes, np.float64)
    entries = sizes.sum(axis=-1)
    size = np.divide((sizes**2).sum(axis=-1), entries, out=np.ones_like(entries), where=entries > 0)
    effect = 1.0 + spread.correlation * np.maximum(size - 1.0, 0.0)
    variance: Array = np.divide(effect, entries, out=np.full_like(entries, np.inf), where=entries > 0)
    return variance


def psi_threshold(window: Array, base: Array, spread: DaySpread, risk: float) -> Array:
    """PSI that days of a quiet time exceed with probability `risk`; shape (..).

    window, base: daily counts (.., days, bins). Infinite where the spread is not known or a side is empty.
    """
    bins = np.asarray(window).shape[-1]
    if bins < 2:
        return np.full(np.asarray(window).shape[:-2], np.inf)
    variance = variance_of(window.sum(axis=-1), spread) + variance_of(base.sum(axis=-1), spread)
    limit: Array = variance * (bins - 1) * f_quantile(risk, bins - 1, spread.freedom)
    return limit


def psi_rise(window: Array, base: Array, reference: Array, spread: DaySpread, risk: float) -> tuple[Array, Array]:
    """How much farther the window is from a fixed reference than the base was, and what quiet days exceed with `risk`.

    window, base: daily counts (.., days, bins); reference (bins,), taken for exact. The people who ask are never quite
    those that a version was trained on, so being far is no alarm, and going farther is. The limit is that of the linear
    part (delta method: the gradient of PSI in p_b is ln(p_b / r_b) + 1 - r_b / p_b) and of the quadratic part, each
    with half the risk.
    """
    now, before = window.sum(axis=-2), base.sum(axis=-2)
    rise = psi(now, reference) - psi(before, reference)
    p, r = shares(now + before), shares(reference)
    gradient = np.log(p / r) + 1.0 - r / p
    slope = (p * gradient**2).sum(axis=-1) - (p * gradient).sum(axis=-1) ** 2
    variance = variance_of(window.sum(axis=-1), spread) + variance_of(base.sum(axis=-1), spread)
    linear = t_quantile(risk / 2, spread.freedom) * np.sqrt(variance * np.maximum(slope, 0.0))
    return rise, linear + psi_threshold(window, base, spread, risk / 2)


def f_quantile(risk: float, between: int, within: Array) -> Array:
    """The value that an F variable exceeds with probability `risk`; infinite for 0 degrees within."""
    return _each(within, lambda degrees: _f(risk, between, degrees))


def t_quantile(risk: float, freedom: Array) -> Array:
    """The value that Student's t exceeds with probability `risk`, one-sided; infinite for 0 degrees."""
    return _each(freedom, lambda degrees: _t(risk, degrees))


def _weekdays(days: int) -> list[list[int]]:
    """Places of the days that may be compared: those of each weekday from two weeks on, before that all."""
    step = WEEK if days >= 2 * WEEK else 1
    return [list(range(first, days, step)) for first in range(min(step, days))]


def _pooled(counts: Array) -> Array:
    entries = counts.sum(axis=-2)
    whole = entries.sum(axis=-1, keepdims=True)
    shares_of: Array = np.divide(entries, whole, out=np.zeros_like(entries), where=whole > 0)
    return shares_of


def _each(degrees: Array, quantile: Any) -> Array:
    known, places = np.unique(np.asarray(degrees), return_inverse=True)
    found = np.array([quantile(float(one)) if one > 0 else np.inf for one in known])
    picked: Array = found[places].reshape(np.shape(degrees))
    return picked


@lru_cache(maxsize=4_096)
def _f(risk: float, between: int, within: float) -> float:
    from scipy.stats import f

    return float(f.isf(risk, between, within))


@lru_cache(maxsize=4_096)
def _t(risk: float, degrees: float) -> float:
    from scipy.stats import t

    return float(t.isf(risk, degrees))
