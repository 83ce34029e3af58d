"""The test of an interleaved rollout: whose playlists listeners like, of those that both versions drafted into a list.

The unit is the listener. With c likes of playlists that the canary picked and p of those that production picked, the
listener's preference is (c - p) / (c + p), from -1 to 1; who likes nothing has none. Both versions pick in each list,
for the same listener at the same time, and a coin decides who begins, so equal versions have the expectation 0 whatever
the listener, the hour or the share: nothing has to be split into steps. The mean is tested as the difference of like
rates is (sequential.py), with the variance of a mean of one value a listener.

A canary whose like rate is a share m below production's earns likes in the proportion 1 - m to 1, which is a preference
of -m / (2 - m). So the margin and the scale of the like rates are those of preferences at that conversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spotify_buddies.serve_app.rollout.gates.sequential import Floats, evidence, mean_variance, radius


@dataclass(frozen=True)
class Credits:
    """Listeners with a like of a drafted list. total, squares: sums of their preferences, and of the squares.

    canary_likes, production_likes: likes of the playlists that each version picked.
    """

    listeners: int = 0
    total: float = 0.0
    squares: float = 0.0
    canary_likes: int = 0
    production_likes: int = 0


@dataclass(frozen=True)
class Preference:
    """The mean preference for the canary, -1 to 1. low, high: each by itself holds at all times with 1 - alpha.

    worse_p: always-valid p-value of "the canary is not worse".
    """

    mean: float
    low: float
    high: float
    worse_p: float


def preference_of(change: float) -> float:
    """The preference, as a size, that goes with a like rate that is lower by a share of it, 0 to 1."""
    return change / (2 - change)


def mean_and_variance(listeners: Any, total: Any, squares: Any) -> tuple[Floats, Floats]:
    """The mean preference and its variance, by the sums of Credits, at least one listener; element by element."""
    count, whole = np.asarray(listeners, np.float64), np.asarray(total, np.float64)
    # Values of -1 to 1 are moved to 0 to 1, where the variance is a quarter.
    moved = mean_variance(count, (whole + count) / 2, (np.asarray(squares) + 2 * whole + count) / 4)
    return whole / count, 4 * moved


def estimate(credited: Credits, *, effect: float, alpha: float) -> Preference:
    """The preference at one look. effect: the scale tau, as a share of the like rate. Not finite without listeners."""
    if not credited.listeners:
        return Preference(float("nan"), -float("inf"), float("inf"), 1.0)
    moments = mean_and_variance(credited.listeners, credited.total, credited.squares)
    mean, variance = (float(value) for value in moments)
    tau = preference_of(effect)
    reach = float(radius(variance, tau, alpha))
    p_value = float(np.exp(-np.maximum(0.0, evidence(mean, variance, tau))))
    return Preference(mean, mean - reach, mean + reach, p_value)
