"""A change made by a person: read the newest generation, propose the next one, and wait until it is served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Report, Role, Wanted
from spotify_buddies.serve_app.rollout.changes import NoCanary, Refused, already, promote, promotion
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.migrate import migrate

CONNECT_S = 5.0
POLL_S = 0.1
# Beyond the time that replicas may take: for the controller to see it, and for a restart of the controller.
SPARE_S = 30.0
# Generations that are looked at for how production came about.
HISTORY = 100
Change = Callable[[Wanted], Wanted]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Proposal:
    """A change, its name, and who makes it. look: gives the objections beside a production version. check_history:
    raises Refused where the history, generations newest first, speaks against it.
    """

    model: str
    change: Change
    action: str
    who: str
    why: str
    look: Callable[[str], list[str]] | None = None
    check_history: Callable[[Sequence[Generation]], None] | None = None


@dataclass(frozen=True)
class ChangeOutcome:
    """The generation as it was last seen. changed: False where it was there before. problem: why it is not served, ""
    where it is or nobody waited. note: who made the change before us, "" where nobody did.
    """

    generation: Generation
    changed: bool
    problem: str = ""
    note: str = ""


async def ask(url: str, question: Callable[[psycopg.AsyncConnection], Awaitable[Answer]]) -> Answer:
    """Put a question to Postgres, whose schema is brought up to date first. psycopg.Error."""
    async with await connect(url, connect_s=CONNECT_S) as connection:
        await migrate(connection)
        return await question(connection)


async def drive(url: str, proposal: Proposal, wait_s: float) -> ChangeOutcome:
    """Propose the change, and wait for it where wait_s is above 0: until it is served by every live replica, or failed.

    Refused, ledger.Overtaken: nothing was changed. RegistryError: the version to look at is not there. psycopg.Error.
    """

    async def work(connection: psycopg.AsyncConnection) -> ChangeOutcome:
        outcome = await propose(connection, proposal)
        if wait_s <= 0:
            return outcome
        generation, problem = await follow(connection, outcome.generation, wait_s)
        return ChangeOutcome(generation, outcome.changed, problem, outcome.note)

    return await ask(url, work)


async def propose(connection: psycopg.AsyncConnection, proposal: Proposal) -> ChangeOutcome:
    """Make the change a generation, unless there is nothing to change or somebody else made the same change just now.

    Refused, ledger.Overtaken, RegistryError.
    """
    newest = await ledger.read_newest(connection)
    current = await ledger.read_current(connection)
    if newest is None or current is None:
        raise Refused(
            "nothing is served yet: start the service with `buddies serve start`, and point the registry's alias "
            "production at a version that loads"
        )
    history = await ledger.read_history(connection, HISTORY)
    try:
        wanted = proposal.change(current.wanted)
    except NoCanary as error:
        # The slower of two who promote: what was asked for is done.
        done = promotion(history)
        if done is None:
            raise
        if proposal.change is not promote:
            raise Refused(f"{already(done)}; {error}") from error
        return ChangeOutcome(done, changed=False, note=already(done))
    if wanted == current.wanted:
        return ChangeOutcome(current, changed=False)
    if proposal.check_history is not None:
        proposal.check_history(history)
    if proposal.look is not None:
        against = await asyncio.to_thread(proposal.look, current.wanted.production)
        if against:
            raise Refused(f"refused: {'; '.join(against)}; use --force to start it anyway")
    said = {"who": proposal.who, "action": proposal.action, "why": proposal.why}
    try:
        made = await ledger.propose(connection, proposal.model, wanted, after=newest.number, **said)
    except ledger.Overtaken as error:
        if error.newest.wanted != wanted or error.newest.state is GenerationState.FAILED:
            raise
        done = error.newest
        note = already(done) if proposal.change is promote else f"{done.who} did the same just now"
        return ChangeOutcome(done, changed=False, note=note)
    return ChangeOutcome(made, changed=True)


async def follow(
    connection: psycopg.AsyncConnection, generation: Generation, prepare_within_s: float
) -> tuple[Generation, str]:
    """Wait until the generation failed, or is active and every live replica follows it or one that came later.

    Returns the generation as it is then, and why it is not served, "" if it is. Without a live ranker it is not.
    """
    deadline = time.monotonic() + prepare_within_s + SPARE_S
    while True:
        seen = await _read(connection, generation.number)
        if seen.state is GenerationState.FAILED:
            return seen, f"generation {seen.number} failed: {seen.message}"
        reports = await ledger.read_reports(connection)
        if seen.state is GenerationState.ACTIVE and _is_served(seen, reports):
            return seen, ""
        if time.monotonic() > deadline:
            where = "everywhere" if reports else "anywhere: no replica reports"
            waited = f"after {prepare_within_s + SPARE_S:g} s"
            return seen, f"generation {seen.number} is not served {where} {waited}; see `buddies rollout status`"
        await asyncio.sleep(POLL_S)


def _is_served(generation: Generation, reports: Sequence[Report]) -> bool:
    rankers = [report for report in reports if report.role is Role.RANKER]
    return bool(rankers) and all(report.following >= generation.number for report in reports)


async def _read(connection: psycopg.AsyncConnection, number: int) -> Generation:
    history = await ledger.read_history(connection, HISTORY)
    return next(generation for generation in history if generation.number == number)
