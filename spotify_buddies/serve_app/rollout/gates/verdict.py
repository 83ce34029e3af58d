"""Verdicts on a canary, from its figures. Pure: times and figures are arguments."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from spotify_buddies.serve_app.rollout.gates.likes import NAME, PREFERENCE, like_gate, preference_gate
from spotify_buddies.serve_app.rollout.gates.limits import Gate, GateOutcome, thresholds
from spotify_buddies.serve_app.rollout.gates.measures import Measures
from spotify_buddies.serve_app.rollout.gates.split import split_gate
from spotify_buddies.serve_app.settings.gates import GateSettings

# They say that the canary fails, whoever its listeners are. The other gates compare the listeners of two arms, which a
# wrong split forbids.
SAFETY = ("recent errors", "errors", "p99", "empty")


class VerdictKind(StrEnum):
    """What happens to the canary."""

    ADVANCE = "advance"
    HOLD = "hold"
    ROLL_BACK = "roll_back"
    PROMOTE = "promote"


@dataclass(frozen=True)
class Verdict:
    """The result of all gates. reason: a sentence with the figures. share: the canary's now; next_share: the next
    step's with ADVANCE, 0 with ROLL_BACK, 1 with PROMOTE. is_applied: False where people decide.
    """

    kind: VerdictKind
    reason: str
    gates: tuple[Gate, ...]
    share: float
    next_share: float
    at: datetime
    is_applied: bool = True

    def to_json(self) -> dict[str, Any]:
        """For events and status: figures rounded to 6 digits."""
        gates = [
            {**asdict(gate), "canary": _short(gate.canary), "production": _short(gate.production)}
            for gate in self.gates
        ]
        values = {**asdict(self), "gates": gates, "at": self.at.isoformat()}
        # `acts` is the public name: stored verdicts and scripts have it.
        values["acts"] = values.pop("is_applied")
        return values


@dataclass(frozen=True)
class Position:
    """The step of a canary. share: of the users, 0 to 1. canary_since, step_since: when it, and when this share, went
    live, UTC. starts: of all its steps until now, ascending. interleave: its lists are drafted from both versions.
    """

    share: float
    canary_since: datetime
    step_since: datetime
    paused: bool = False
    starts: tuple[datetime, ...] = ()
    interleave: bool = False

    def following(self, settings: GateSettings) -> float:
        """The next share. An interleaved canary has one step: what it shows does not depend on its share."""
        return 1.0 if self.interleave else settings.after(self.share)

    def strata(self, delay_s: float) -> tuple[datetime, ...]:
        """Starts of the strata in which reactions are compared, ascending: each step's first seconds, and its rest.

        Users react to the lists of the step before for a while, so a step's first reactions have the arms of another
        share. Together with the rest of the step, whose rates may be others, they would accuse an equal canary.
        """
        ends = (*self.starts[1:], None)
        settled = [start + timedelta(seconds=delay_s) for start in self.starts]
        later = [one for one, end in zip(settled, ends, strict=True) if end is None or one < end]
        return tuple(sorted({*self.starts, *later}))


def decide(measures: Measures, position: Position, settings: GateSettings, now: datetime) -> Verdict:
    """The verdict at `now`, UTC.

    A pause comes before everything, a broken gate of SAFETY before a wrong split, that before any other gate, and a
    broken gate before a missing figure.
    """
    following = position.following(settings)
    gates = thresholds(measures, settings)
    if settings.like_gate and position.interleave:
        gates = (*gates, preference_gate(measures.credited, settings))
    elif settings.like_gate:
        gates = (*gates, like_gate(measures, settings, last=following >= 1))
    if settings.split_gate:
        gates = (*gates, split_gate(measures.split, position.share, settings.split_alpha))
    kind, reason = _decide(measures, position, settings, now, gates)
    shares = {
        VerdictKind.HOLD: position.share,
        VerdictKind.ROLL_BACK: 0.0,
        VerdictKind.PROMOTE: 1.0,
        VerdictKind.ADVANCE: following,
    }
    return Verdict(kind, reason, gates, position.share, shares[kind], now, is_applied=not settings.manual)


def _decide(
    measures: Measures, position: Position, settings: GateSettings, now: datetime, gates: tuple[Gate, ...]
) -> tuple[VerdictKind, str]:
    if position.paused:
        return VerdictKind.HOLD, "paused: nothing is decided until somebody resumes it"
    broken = [gate for gate in gates if gate.outcome is GateOutcome.BROKEN]
    blocked = [gate for gate in gates if gate.outcome is GateOutcome.BLOCKED]
    if blocked:
        broken = [gate for gate in broken if gate.name in SAFETY]
    if broken:
        return VerdictKind.ROLL_BACK, _sentence(broken)
    missing = _sentence(blocked) or _missing(measures, position, settings, now, gates)
    last = position.following(settings) >= 1
    if last and not missing:
        return VerdictKind.PROMOTE, _passed(measures, gates)
    if (now - position.canary_since).total_seconds() >= settings.max_canary_s:
        text = f"not shown to be as good within {settings.max_canary_s:g} s: {missing or 'there are more steps'}"
        return (VerdictKind.HOLD if settings.on_timeout == "hold" else VerdictKind.ROLL_BACK), text
    return (VerdictKind.HOLD, missing) if missing else (VerdictKind.ADVANCE, _passed(measures, gates))


def _missing(
    measures: Measures, position: Position, settings: GateSettings, now: datetime, gates: tuple[Gate, ...]
) -> str:
    """The reason to wait with the next step; "" for none."""
    in_step_s = (now - position.step_since).total_seconds()
    if in_step_s < settings.min_step_s:
        return f"{in_step_s:.0f} s of {settings.min_step_s:g} s in this step"
    answers = measures.canary.step.answers
    if answers < settings.min_answers:
        return f"{answers:,} of {settings.min_answers:,} answers in this step"
    return _sentence([gate for gate in gates if gate.outcome is GateOutcome.WAITING])


def _passed(measures: Measures, gates: tuple[Gate, ...]) -> str:
    likes = [f"; {gate.name} {gate.message}" for gate in gates if gate.name in (NAME, PREFERENCE)]
    return f"{measures.canary.step.answers:,} answers in this step, every gate passed{''.join(likes)}"


def _sentence(gates: list[Gate]) -> str:
    return "; ".join(f"{gate.name}: {gate.message}" for gate in gates)


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
