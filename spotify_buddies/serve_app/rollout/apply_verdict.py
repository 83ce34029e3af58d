"""What the gates say becomes a generation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted
from spotify_buddies.serve_app.rollout import changes, controller_state

WHO = "gates"


class Verdict(Protocol):
    """What shall become of a canary. kind: advance, hold, roll_back or promote; next_share: 0 to 1; acts: False where
    people decide.
    """

    @property
    def kind(self) -> str:
        """What to do."""

    @property
    def reason(self) -> str:
        """A sentence with the figures."""

    @property
    def next_share(self) -> float:
        """The share of the listeners after an advance."""

    @property
    def acts(self) -> bool:
        """Whether it is to be done."""

    def to_json(self) -> dict[str, Any]:
        """For events and status."""


# Looks at an active generation with a canary; called about each second.
Judge = Callable[[psycopg.AsyncConnection, Generation], Awaitable[Verdict]]


async def act(connection: psycopg.AsyncConnection, model: str, active: Generation, judge: Judge) -> bool:
    """Ask the gates about an active generation and do what they say; whether there is a new generation.

    A pause holds the deeds and not the figures: those are worked out as if there were none, and kept for status.
    """
    if active.state is not GenerationState.ACTIVE or active.wanted.canary is None:
        return False
    paused = active.wanted.paused
    verdict = await judge(connection, replace(active, wanted=replace(active.wanted, paused=False)))
    await controller_state.judged(connection, active.number, verdict.to_json())
    done = _done(active.wanted, verdict)
    if done is None or paused or not verdict.acts:
        return False
    wanted, action, kind = done
    blamed = active.wanted.canary
    said = {"who": WHO, "action": action, "why": verdict.reason}
    try:
        async with connection.transaction():
            made = await ledger.propose(connection, model, wanted, after=active.number, **said)
            await ledger.note(connection, made.number, kind, verdict.reason, version=blamed, details=verdict.to_json())
    except ledger.Overtaken:
        return False  # somebody decided meanwhile
    return True


def _done(wanted: Wanted, verdict: Verdict) -> tuple[Wanted, str, str] | None:
    """What shall be wanted, the action's name and the event's kind; None: nothing is to be done."""
    if verdict.kind == "advance":
        return changes.set_percent(wanted, verdict.next_share * 100), "set-percent", "advanced"
    if verdict.kind == "promote":
        return changes.promote(wanted), "promote", "advanced"
    if verdict.kind == "roll_back":
        return changes.without_canary(wanted), "rollback", "rolled_back"
    return None
