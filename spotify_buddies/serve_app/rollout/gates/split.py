"""Whether the users of both arms are as many as the split says: a test that may be looked at all the time.

A split that loses users of one arm (an arm that answers late, crashes, or whose lists are not recorded) compares unlike
users, and nothing that compares the arms can be believed ("sample ratio mismatch", Fabijan and others, KDD 2019).

The number of the canary's users among n is binomial with the share p. It is tested by the likelihood ratio mixed over
other shares with a beta distribution around p, of CONCENTRATION made-up users (Lindon and Malek, "Anytime-valid
inference for multinomial count data", NeurIPS 2022, for two arms):

    L = B(c p + x, c (1 - p) + n - x) / B(c p, c (1 - p)) / (p^x (1 - p)^(n - x))

Where the split is right, L is a martingale that starts at 1, so by Ville's inequality it ever reaches 1 / alpha with a
probability of at most alpha, however often it is looked at.

Distinct users are counted, not answers: a user is in one arm for the whole step, and comes as often as they like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, xlog1py, xlogy

# A standard deviation of a tenth of the users at 50 %: what is found soonest is a loss of some percent.
CONCENTRATION = 100.0


@dataclass(frozen=True)
class Split:
    """Distinct users with a list in the step, by arm. share: the canary's, 0 to 1. peak: largest evidence before."""

    canary: int
    production: int
    share: float
    peak: float = 0.0

    @property
    def evidence(self) -> float:
        """The log of L, now or at an earlier look; 0 where all users are of one arm by right."""
        if not 0 < self.share < 1:
            return self.peak
        return max(self.peak, float(evidence(self.canary, self.production, self.share)))


def evidence(canary: Any, production: Any, share: float) -> npt.NDArray[np.float64]:
    """The log of L, element by element; 0 without users. At or above ln(1 / alpha) the split is wrong.

    share: above 0 and below 1.
    """
    one, other = CONCENTRATION * share, CONCENTRATION * (1 - share)
    mixed = betaln(one + canary, other + production) - betaln(one, other)
    return np.asarray(mixed - xlogy(canary, share) - xlog1py(production, -share), np.float64)
