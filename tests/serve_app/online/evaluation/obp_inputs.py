"""Logs of a policy that draws at random, by seed: what the Open Bandit Pipeline and our estimators are both given."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ACTIONS = 5
CASES = ((0, 50), (1, 400), (2, 3_000))


class Inputs(NamedTuple):
    """reward, action, logging: (n,); target, model: (n, ACTIONS), by action."""

    reward: npt.NDArray[Any]
    action: npt.NDArray[Any]
    logging: npt.NDArray[Any]
    target: npt.NDArray[Any]
    model: npt.NDArray[Any]


def draw(seed: int, rounds: int) -> Inputs:
    """The same arrays for the same seed: uniform draws alone, whose stream numpy keeps."""
    uniform = np.random.Generator(np.random.PCG64(seed)).random((4, rounds, ACTIONS))
    policy, target = (raw**2 + 0.05 for raw in uniform[:2])
    policy, target = (raw / raw.sum(axis=1, keepdims=True) for raw in (policy, target))
    action = (uniform[2, :, :1] > np.cumsum(policy, axis=1)).sum(axis=1).clip(max=ACTIONS - 1)
    chance = 0.1 + 0.15 * action
    reward = (uniform[2, :, 1] < chance).astype(np.float64)
    return Inputs(reward, action, policy[np.arange(rounds), action], target, uniform[3])
