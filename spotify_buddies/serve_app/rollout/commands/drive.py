"""A change made by a person: read what is, propose what shall be, and wait for what becomes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted
from spotify_buddies.serve_app.rollout.changes import Refused
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.migrate import migrate

CONNECT_S = 5.0
POLL_S = 0.1
# Beyond the time that replicas may take: for the controller to see it, and for a restart of the controller.
SPARE_S = 30.0
Change = Callable[[Wanted], Wanted]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Proposal:
    """A change, what it is called, and whose it is. look: what speaks against it beside a production version."""

    model: str
    change: Change
    action: str
    who: str
    why: str
    look: Callable[[str], list[str]] | None = None


@dataclass(frozen=True)
class ChangeOutcome:
    """The generation as it was last seen. changed: False where it says already what was asked for. problem: why it is
    not served, "" where it is or nobody waited.
    """

    generation: Generation
    changed: bool
    problem: str = ""


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
        return ChangeOutcome(generation, outcome.changed, problem)

    return await ask(url, work)


async def propose(connection: psycopg.AsyncConnection, proposal: Proposal) -> ChangeOutcome:
    """Make the change a generation, unless there is nothing to change. Refused, ledger.Overtaken, RegistryError."""
    newest = await ledger.read_newest(connection)
    current = await ledger.read_current(connection)
    if newest is None or current is None:
        raise Refused(
            "nothing is served yet: start the service with `buddies serve start`, and point the registry's alias "
            "production at a version that loads"
        )
    wanted = proposal.change(current.wanted)
    if wanted == current.wanted:
        return ChangeOutcome(current, changed=False)
    if proposal.look is not None:
        against = await asyncio.to_thread(proposal.look, current.wanted.production)
        if against:
            raise Refused(f"refused: {'; '.join(against)}. --force starts it all the same")
    made = await ledger.propose(
        connection,
        proposal.model,
        wanted,
        after=newest.number,
        who=proposal.who,
        action=proposal.action,
        why=proposal.why,
    )
    return ChangeOutcome(made, changed=True)


async def follow(
    connection: psycopg.AsyncConnection, generation: Generation, prepare_within_s: float
) -> tuple[Generation, str]:
    """Wait until the generation failed, or is active and every live replica follows it or one that came later.

    The generation as it is then, and why it is not served, "" if it is.
    """
    deadline = time.monotonic() + prepare_within_s + SPARE_S
    while True:
        found = await _read(connection, generation.number)
        if found.state is GenerationState.FAILED:
            return found, f"generation {found.number} failed: {found.message}"
        if found.state is GenerationState.ACTIVE:
            reports = await ledger.read_reports(connection)
            if all(report.following >= found.number for report in reports):
                return found, ""
        if time.monotonic() > deadline:
            waited = f"after {prepare_within_s + SPARE_S:g} s"
            return (
                found,
                f"generation {found.number} is still not served everywhere {waited}; see `buddies rollout status`",
            )
        await asyncio.sleep(POLL_S)


async def _read(connection: psycopg.AsyncConnection, number: int) -> Generation:
    history = await ledger.read_history(connection, 100)
    return next(generation for generation in history if generation.number == number)
