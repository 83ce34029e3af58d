"""Scores as probabilities (Platt 1999)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from spotify_buddies.trainer.models.blend.report import Calibration

Array = npt.NDArray[Any]

_GROUPS = 10


def calibrate(scores: Array, positive: Array) -> Calibration | None:
    """Slope and intercept by maximum likelihood with Platt's softened targets; None without positives or negatives."""
    yes = int(positive.sum())
    no = positive.size - yes
    if not yes or not no:
        return None
    target = np.where(positive, (yes + 1) / (yes + 2), 1 / (no + 2))
    values = scores.astype(np.float64)

    def loss(weights: Array) -> tuple[float, Array]:
        logit = weights[0] * values + weights[1]
        wrong = _probability(logit) - target
        value = float(np.mean(np.logaddexp(0, logit) - target * logit))
        return value, np.array([np.mean(wrong * values), np.mean(wrong)])

    found = minimize(loss, np.array([1.0, np.log(yes / no)]), jac=True, method="BFGS")
    slope, intercept = (float(value) for value in found.x)
    return Calibration(slope, intercept, positive.size, _error(_probability(slope * values + intercept), positive))


def _probability(logit: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0, -logit)))


def _error(probability: Array, positive: Array) -> float:
    order = np.argsort(probability, kind="stable")
    groups = [group for group in np.array_split(order, _GROUPS) if group.size]
    return float(np.mean([abs(probability[group].mean() - positive[group].mean()) for group in groups]))
