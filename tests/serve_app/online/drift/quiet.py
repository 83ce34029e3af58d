"""Days without drift: shares that wander from day to day around what they are on that weekday."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Of one entry of a day with another: a share of 20 % has a standard deviation of 1.3 points from day to day.
CORRELATION = 0.001


def quiet_days(
    shares: list[float],
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    a_day: float = 2_000.0,
    weekend: float = 0.15,
    correlation: float = CORRELATION,
) -> Array:
    """Counts int64 (repetitions, days, bins) of a Dirichlet-multinomial; shape: (repetitions, days).

    At weekends there are 1.4 times as many entries, the first bin has `weekend` more of its share, and every day's
    number of entries wanders by 10 %.
    """
    repetitions, days = shape
    at_weekend = np.isin(np.arange(days) % 7, (5, 6))
    mean = np.tile(np.asarray(shares, float), (days, 1))
    mean[at_weekend, 0] *= 1 + weekend
    mean /= mean.sum(axis=1, keepdims=True)
    probabilities = np.broadcast_to(mean, (repetitions, days, len(shares)))
    if correlation:
        drawn = rng.standard_gamma(probabilities * (1 / correlation - 1))
        probabilities = drawn / drawn.sum(axis=2, keepdims=True)
    sizes = rng.poisson(a_day * np.where(at_weekend, 1.4, 1.0) * rng.lognormal(0, 0.1, (repetitions, days)))
    return rng.multinomial(sizes, probabilities)
