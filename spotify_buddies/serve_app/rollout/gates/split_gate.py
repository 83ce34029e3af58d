"""The gate of the split: where the arms do not have the users that they should, nothing that compares them counts."""

from __future__ import annotations

import math

from spotify_buddies.serve_app.rollout.gates.limits import Gate, GateOutcome
from spotify_buddies.serve_app.rollout.gates.split import Split
from spotify_buddies.serve_app.settings.gates import GateSettings

NAME = "split"


def split_gate(split: Split | None, settings: GateSettings) -> Gate:
    """Judge the split. A wrong one is BLOCKED: it says nothing about the canary, so it is no reason to roll back."""
    if split is None or not 0 < split.share < 1 or split.canary + split.production == 0:
        return Gate(NAME, GateOutcome.PASSED, "no users with stored lists in this step yet")
    whole = split.canary + split.production
    seen = split.canary / whole
    p_value = math.exp(-max(0.0, split.evidence))
    text = (
        f"{split.canary:,} of {whole:,} users got the canary, {seen:.2%}; the split says {split.share:.2%}; p "
        f"{p_value:.2g} however often looked at"
    )
    if p_value > settings.split_alpha:
        return Gate(NAME, GateOutcome.PASSED, text, seen, split.share)
    text += (
        ". Users of one arm are lost, so the arms cannot be compared: look for calls of one arm that fail or end "
        "early, lists that are not recorded, and callers who choose by the answer; then start the canary again"
    )
    return Gate(NAME, GateOutcome.BLOCKED, text, seen, split.share)
