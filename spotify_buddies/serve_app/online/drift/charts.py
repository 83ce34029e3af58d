"""A control chart for how much there is a day: the last day (Shewhart) and an average that forgets (EWMA).

Roberts (1959, Technometrics 1(3)) has the EWMA, Lucas and Saccucci (1990, Technometrics 32(1)) the two together: one
sees a jump at once, the other sees a slow change within days. The textbook limits suppose a known mean
and deviation; here both come from some weeks of history, so the statistic is a Student's t
and its limit a quantile of that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.online.drift.calibration import WEEK, t_quantile

Array = npt.NDArray[Any]

# Weight of the newest day in the EWMA; 0.2 to 0.4 is customary, larger for larger changes.
FORGETTING = 0.3


def forgetting_weights(days: int, newest: float = FORGETTING) -> Array:
    """Weight of each day of a window, float (days,), oldest first: newest * (1 - newest) ** age. 1 for one day."""
    return newest * (1.0 - newest) ** np.arange(days - 1, -1, -1)


def deviation(history: Array, window: Array, weights: Array) -> tuple[Array, Array]:
    """The weighted sum of how far the window's days are from the history, in its own standard deviations.

    history (.., days), window (.., days): entries of each day, oldest first; the window follows the history. weights
    (window's days,). Days are compared as logarithms, by weekday where the history has two weeks or more. Returns the
    statistic (..), a Student's t on quiet days, and its degrees of freedom (..), 0 where the history is too short.
    The deviation of a day is never taken for less than that of independent events (Poisson).
    """
    history, window = np.asarray(history, np.float64), np.asarray(window, np.float64)
    past, now = np.log(history + 1.0), np.log(window + 1.0)
    days, ahead = past.shape[-1], now.shape[-1]
    step = WEEK if days >= 2 * WEEK else 1
    squares, freedom = np.zeros(past.shape[:-1]), 0
    total, variance = np.zeros(past.shape[:-1]), float((weights**2).sum())
    for first in range(min(step, days)):
        group = past[..., first::step]
        mean = group.mean(axis=-1)
        squares += ((group - mean[..., None]) ** 2).sum(axis=-1)
        freedom += group.shape[-1] - 1
        ours = [day for day in range(ahead) if (days + day) % step == first]
        total += ((now[..., ours] - mean[..., None]) * weights[ours]).sum(axis=-1)
        variance += float(weights[ours].sum()) ** 2 / group.shape[-1]
    if freedom <= 0:
        return np.zeros_like(total), np.zeros(total.shape)
    independent = 1.0 / np.maximum(history.mean(axis=-1), 1.0)
    spread = np.sqrt(np.maximum(squares / freedom, independent) * variance)
    return total / spread, np.full(total.shape, float(freedom))


def deviation_limit(freedom: Array, risk: float) -> Array:
    """The size of the deviation, up or down, that quiet days exceed with probability `risk`."""
    return t_quantile(risk / 2, freedom)
