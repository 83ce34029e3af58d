"""Off-policy estimates over arrays: what another policy would earn, from the logs of one that drew at random.

Each function takes arrays of shape (n,), one entry per logged decision. The estimators give terms, shape (n,), whose
mean is the estimate: whoever calls them can sum them by listener. Tested against the Open Bandit Pipeline 0.5.7 (Saito
and others 2020). It declares Python below 3.11, so its numbers are a fixture:
tests/serve_app/online/evaluation/obp.json, made by make_obp.py beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Below as many effective decisions no estimate is given.
FLOOR = 100
DETERMINISTIC = "no propensity below 1 is logged: deterministic lists say nothing of another version; exploration would"


class NoEstimate(ValueError):
    """The logs do not say what the other policy would earn; the message says why."""


def weights(logging: Array, target: Array) -> Array:
    """Importance weights: the target policy's probability of what was logged over the logging policy's, in (0, 1].

    NoEstimate: a probability is outside its range, or the arrays differ in length.
    """
    if logging.shape != target.shape:
        raise NoEstimate(f"{logging.size} logged propensities and {target.size} probabilities of the target policy")
    if not (np.all(logging > 0) and np.all(logging <= 1)):
        raise NoEstimate("a logged propensity is not above 0 and at most 1")
    if not (np.all(target >= 0) and np.all(target <= 1)):
        raise NoEstimate("a probability of the target policy is not from 0 to 1")
    return np.asarray(target / logging, np.float64)


def inverse_propensity(reward: Array, weight: Array) -> Array:
    """IPS (Horvitz and Thompson 1952; Precup and others 2000): unbiased, of large variance."""
    return np.asarray(reward * weight, np.float64)


def self_normalized(reward: Array, weight: Array) -> Array:
    """SNIPS (Swaminathan and Joachims 2015): divided by the mean weight. NoEstimate: every weight is 0."""
    if not weight.size or weight.mean() == 0:
        raise NoEstimate("the logs hold nothing that the other version would show")
    return np.asarray(reward * weight / weight.mean(), np.float64)


def doubly_robust(reward: Array, weight: Array, model_logged: Array, model_target: Array) -> Array:
    """DR (Dudik and others 2011): right where the propensities or the model are.

    model_logged: the model's reward of what was logged; model_target: its expected reward under the target policy.
    """
    return np.asarray(model_target + weight * (reward - model_logged), np.float64)


def effective_size(weight: Array) -> float:
    """Kish's effective sample size (1965), (sum w)^2 / sum w^2; 0 where every weight is 0."""
    squares = float(weight @ weight)
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def require(logging: Array, weight: Array, floor: float = FLOOR) -> None:
    """NoEstimate: nothing was drawn at random, or fewer than `floor` effective decisions are left."""
    if not np.any(logging < 1):
        raise NoEstimate(DETERMINISTIC)
    size = effective_size(weight)
    if size < floor:
        raise NoEstimate(
            f"the effective sample size is {size:,.1f} of {weight.size:,} logged decisions, below the floor of "
            f"{floor:,.0f}: too little of what the version would show was shown at random"
        )
