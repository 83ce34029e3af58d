"""A test of the proportion of two arms' listeners that may be looked at all the time.

It is the likelihood ratio of the counts, mixed over other shares, against the share that was asked for (Robbins 1970;
Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022, of which this is the case of two
arms). With c of n listeners in the canary's arm, a share s, a = K s and b = K (1 - s):

    E = B(a + c, b + n - c) / B(a, b) / (s^c (1 - s)^(n - c))

While each new listener is the canary's with probability s, E is a martingale that starts at 1. By Ville's inequality
(1939) it ever reaches 1 / alpha with a probability of at most alpha, and 1 over the largest E is an always-valid
p-value. That is exact: nothing is estimated. It needs listeners who are independent, which answers are not, as people
come back and calls name many of them; a listener's place in the split is a hash, so each counts once in a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betaln

# Listeners that the mixture's shares are worth: most power against shares that are a few percent of the users away.
CONCENTRATION = 1_000.0


@dataclass(frozen=True)
class Split:
    """Distinct listeners of a step. canary: those with a list of the canary. both: of these, with one of production
    too. peak: the largest log E that was seen in this step, 0 before any.
    """

    canary: int = 0
    listeners: int = 0
    both: int = 0
    peak: float = 0.0


def log_evidence(canary: Any, listeners: Any, share: float) -> npt.NDArray[np.float64]:
    """The log of E, element by element; 0 without listeners. share: asked for, above 0 and below 1."""
    mine, whole = np.asarray(canary, np.float64), np.asarray(listeners, np.float64)
    a, b = CONCENTRATION * share, CONCENTRATION * (1 - share)
    expected = mine * np.log(share) + (whole - mine) * np.log1p(-share)
    return np.asarray(betaln(a + mine, b + whole - mine) - betaln(a, b) - expected, np.float64)


def is_testable(share: float) -> bool:
    """Whether a share leaves both arms listeners."""
    return 0 < share < 1
