"""The gates of likes: worse rolls back at any step, and the last step requires "not worse" to be shown.

Of arms that are split the like rates are compared; of an interleaved canary, who picked what was liked.
"""

from __future__ import annotations

from spotify_buddies.serve_app.rollout.gates.limits import Gate, GateOutcome
from spotify_buddies.serve_app.rollout.gates.measures import Measures
from spotify_buddies.serve_app.rollout.gates.preference import Credits, estimate, preference_of
from spotify_buddies.serve_app.rollout.gates.sequential import Comparison, compare
from spotify_buddies.serve_app.settings.gates import GateSettings

NAME, PREFERENCE = "like rate", "preference"


def like_gate(measures: Measures, settings: GateSettings, *, last: bool) -> Gate:
    """Judge the like rates. last: the next step makes the canary production."""
    likes = measures.likes
    seen = compare(likes, effect=settings.like_effect, alpha=settings.like_alpha)
    if min(likes.canary_users, likes.production_users) < settings.min_reacting or seen.low == -float("inf"):
        text = (
            f"{likes.canary_users:,} and {likes.production_users:,} users reacted to canary and production; "
            f"needs at least {settings.min_reacting:,} of each"
        )
        return Gate(NAME, GateOutcome.WAITING if last else GateOutcome.PASSED, text, *_figures(seen))
    text = (
        f"{seen.canary:.4f} of {likes.canary_users:,} users, production's {seen.production:.4f} of "
        f"{likes.production_users:,}: {seen.difference:+.4f} ({seen.low:+.4f} to {seen.high:+.4f})"
    )
    figures = _figures(seen)
    if seen.high < 0:
        return Gate(NAME, GateOutcome.BROKEN, f"{text}: worse, p {seen.worse_p:.2g} however often looked at", *figures)
    if not last:
        return Gate(NAME, GateOutcome.PASSED, text, *figures)
    if min(seen.canary, seen.production) > 1 - 1e-9:
        # Nobody says what was not liked, so every version looks perfect.
        return Gate(NAME, GateOutcome.WAITING, f"{text}: every reaction is a like; send `ignored` too", *figures)
    margin = settings.like_margin * seen.production
    if seen.low > -margin:
        return Gate(NAME, GateOutcome.PASSED, f"{text}: not worse by {margin:.4f}", *figures)
    return Gate(NAME, GateOutcome.WAITING, f"{text}: not yet clearly above {-margin:+.4f}", *figures)


def preference_gate(credited: Credits, settings: GateSettings) -> Gate:
    """Judge the credits: worse rolls back; better, or shown to be not worse by the margin, passes."""
    text = (
        f"{credited.canary_likes:,} likes of playlists that the canary picked, {credited.production_likes:,} of "
        f"production's, by {credited.listeners:,} listeners"
    )
    if credited.listeners < settings.min_reacting:
        return Gate(PREFERENCE, GateOutcome.WAITING, f"{text}; needs at least {settings.min_reacting:,} listeners")
    seen = estimate(credited, effect=settings.like_effect, alpha=settings.like_alpha)
    text += f": preference {seen.mean:+.4f} ({seen.low:+.4f} to {seen.high:+.4f})"
    margin = preference_of(settings.like_margin)
    if seen.high < 0:
        text += f": worse, p {seen.worse_p:.2g} however often looked at"
        return Gate(PREFERENCE, GateOutcome.BROKEN, text, seen.mean, 0.0)
    if seen.low > 0:
        return Gate(PREFERENCE, GateOutcome.PASSED, f"{text}: better", seen.mean, 0.0)
    if seen.low > -margin:
        return Gate(PREFERENCE, GateOutcome.PASSED, f"{text}: not worse by {margin:.4f}", seen.mean, 0.0)
    return Gate(PREFERENCE, GateOutcome.WAITING, f"{text}: not yet clearly above {-margin:+.4f}", seen.mean, 0.0)


def _figures(seen: Comparison) -> tuple[float | None, float | None]:
    """The like rates of canary and production; None where no step has users of both."""
    return (None, None) if seen.low == -float("inf") else (seen.canary, seen.production)
