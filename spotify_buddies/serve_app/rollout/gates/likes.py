"""The gate of the like rate: worse goes back at any step, and the last step asks for "not worse" to be shown."""

from __future__ import annotations

from spotify_buddies.serve_app.rollout.gates.limits import Gate, GateOutcome
from spotify_buddies.serve_app.rollout.gates.measures import Measures
from spotify_buddies.serve_app.rollout.gates.sequential import Likes, compare
from spotify_buddies.serve_app.settings.gates import GateSettings

NAME = "like rate"


def like_gate(measures: Measures, settings: GateSettings, *, last: bool) -> Gate:
    """Judge the like rates. last: the next step makes the canary production."""
    canary, production = measures.canary.likes, measures.production.likes
    figures = canary.rate, production.rate
    if canary.rate is None or production.rate is None or _few(canary, production, settings.min_reacting):
        text = (
            f"{canary.listeners:,} and {production.listeners:,} listeners reacted to canary and production; compared "
            f"from {settings.min_reacting:,} of each on"
        )
        return Gate(NAME, GateOutcome.WAITING if last else GateOutcome.PASSED, text, *figures)
    found = compare(canary, production, effect=settings.like_effect, alpha=settings.like_alpha)
    text = (
        f"{canary.rate:.4f} of {canary.listeners:,} listeners, production's {production.rate:.4f} of "
        f"{production.listeners:,}: {found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
    )
    if found.high < 0:
        return Gate(NAME, GateOutcome.BROKEN, f"{text}: worse, p {found.worse_p:.2g} however often looked at", *figures)
    if not last:
        return Gate(NAME, GateOutcome.PASSED, text, *figures)
    if min(canary.rate, production.rate) == 1:
        # Nobody says what was not liked, so every version looks perfect.
        return Gate(NAME, GateOutcome.WAITING, f"{text}: every reaction is a like; send `ignored` too", *figures)
    margin = settings.like_margin * production.rate
    if found.low > -margin:
        return Gate(NAME, GateOutcome.PASSED, f"{text}: not worse by {margin:.4f}", *figures)
    return Gate(NAME, GateOutcome.WAITING, f"{text}: not yet surely above {-margin:+.4f}", *figures)


def _few(canary: Likes, production: Likes, least: int) -> bool:
    return min(canary.listeners, production.listeners) < least
