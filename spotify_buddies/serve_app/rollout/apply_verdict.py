"""A verdict of the gates, made into a generation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted
from spotify_buddies.serve_app.rollout import changes, controller_state
from spotify_buddies.serve_app.rollout.gates.limits import GateOutcome
from spotify_buddies.serve_app.rollout.gates.read import read_position
from spotify_buddies.serve_app.rollout.gates.read_split import EVENT, was_blocked
from spotify_buddies.serve_app.rollout.gates.verdict import Verdict, VerdictKind

WHO = "gates"


# Judges an active generation with a canary; called about every second.
Judge = Callable[[psycopg.AsyncConnection, Generation], Awaitable[Verdict]]


async def apply_verdict(connection: psycopg.AsyncConnection, model: str, active: Generation, judge: Judge) -> bool:
    """Judge an active generation and do what the verdict says; returns whether there is a new generation.

    A pause stops the actions, not the figures: the verdict is worked out as if there were no pause, and kept for
    status. Where people decide (`Verdict.is_applied` is False), it is only kept.
    """
    if active.state is not GenerationState.ACTIVE or active.wanted.canary is None:
        return False
    paused = active.wanted.paused
    verdict = await judge(connection, replace(active, wanted=replace(active.wanted, paused=False)))
    await controller_state.judged(connection, active.number, verdict.to_json())
    await _tell_blocked(connection, active, verdict)
    change = _change(active.wanted, verdict)
    if change is None or paused or not verdict.is_applied:
        return False
    wanted, action, kind = change
    blamed = active.wanted.canary
    said = {"who": WHO, "action": action, "why": verdict.reason}
    try:
        # One transaction: a generation of the gates never lacks the event that explains it.
        async with connection.transaction():
            made = await ledger.propose(connection, model, wanted, after=active.number, **said)
            await ledger.note(connection, made.number, kind, verdict.reason, version=blamed, details=verdict.to_json())
    except ledger.Overtaken:
        return False  # somebody decided in the meantime
    return True


async def _tell_blocked(connection: psycopg.AsyncConnection, active: Generation, verdict: Verdict) -> None:
    """An event, once in a step, that its figures cannot be compared. Only the controller writes it, so none is twice.

    A new controller finds it and stays blocked (gates/read.py).
    """
    blocked = [gate.message for gate in verdict.gates if gate.outcome is GateOutcome.BLOCKED]
    if not blocked:
        return
    _, first = await read_position(connection, active)
    if not await was_blocked(connection, active, first):
        text, version = "; ".join(blocked), active.wanted.canary
        await ledger.note(connection, active.number, EVENT, text, version=version, details=verdict.to_json())


def _change(wanted: Wanted, verdict: Verdict) -> tuple[Wanted, str, str] | None:
    """The new wanted state, the action's name and the event's kind; None: nothing changes."""
    if verdict.kind is VerdictKind.ADVANCE:
        return changes.set_percent(wanted, verdict.next_share * 100), "set-percent", "advanced"
    if verdict.kind is VerdictKind.PROMOTE:
        return changes.promote(wanted), "promote", "advanced"
    if verdict.kind is VerdictKind.ROLL_BACK:
        return changes.without_canary(wanted), "rollback", "rolled_back"
    return None
