"""The gate of the split: the listeners of both arms must be in the proportion that the generation asked for.

Where they are not (sample ratio mismatch), the arms differ in more than the version, and no comparison of them is worth
anything.
"""

from __future__ import annotations

import numpy as np

from spotify_buddies.serve_app.rollout.gates.limits import Gate, GateOutcome
from spotify_buddies.serve_app.rollout.gates.listeners import Split, is_testable

NAME = "split"


def split_gate(split: Split, share: float, alpha: float) -> Gate:
    """Judge the split. A mismatch blocks, and stays for the step: the listeners who are missing do not come back."""
    if not is_testable(share) or not split.listeners:
        return Gate(NAME, GateOutcome.PASSED, "no lists of both arms are recorded in this step yet")
    found = split.canary / split.listeners
    p_value = float(np.exp(-max(0.0, split.peak)))
    text = (
        f"{split.canary:,} of {split.listeners:,} listeners had the canary, {found:.2%} instead of {share:.2%} "
        f"({split.canary - share * split.listeners:+,.0f}); {split.both:,} had both arms; p {p_value:.2g} however "
        "often looked at"
    )
    if p_value > alpha:
        return Gate(NAME, GateOutcome.PASSED, text, found, share)
    text = (
        f"sample ratio mismatch, no verdict: {text}. The arms do not have the listeners they should have, so figures "
        "of them cannot be compared; look for lost impressions, failed calls, a second salt or split, then "
        "start the canary again (docs/rollout-gates.md)"
    )
    return Gate(NAME, GateOutcome.BLOCKED, text, found, share)
