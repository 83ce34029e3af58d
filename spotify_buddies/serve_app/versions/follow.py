"""A replica as a follower of generations: it reads in Postgres what to serve, and reports there what it holds.

A notification says only that a generation changed; without one, the replica looks every POLL_S. While Postgres is
unreachable the replica serves what it follows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.counts import ArmCounts
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Load, Report, Role
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.following import follow_always
from spotify_buddies.serve_app.store.database.schema import Schema
from spotify_buddies.serve_app.telemetry.redact import cause
from spotify_buddies.serve_app.versions.table import VersionTable

# Between two reports, and between two looks without a notification; after ledger.LIVE_S a replica counts as gone.
POLL_S = 1.0
# How soon a change inside the replica (a version is loaded) is noticed: waiting for Postgres notices nothing else.
TICK_S = 0.1
ANSWER_WITHIN_S = 5.0
RETIRE_WITHIN_S = 1.0
_log = logging.getLogger(__name__)


class FollowingReplica(Protocol):
    """The part of a replica that answers with what is active."""

    def follow(self, generation: Generation) -> bool:
        """Answer with a generation as far as its versions are READY; returns whether all with traffic are.

        Called again and again with the same generation; what is in place already does not change.
        """

    def counted(self, *, whole: bool) -> Sequence[tuple[int, ArmCounts]]:
        """Counts that changed since the last call, with their generation; whole: all of them. Called in a thread."""


@dataclass(frozen=True)
class Replica:
    """The replica that reports. name: unique, also among replicas of the past and the future."""

    name: str
    role: Role


class GenerationFollower:
    """Runs until it is cancelled; make it inside the running event loop.

    first: set once the replica answers with the active generation, or cannot for now: there is none, Postgres is
    unreachable, or a version cannot be loaded.
    """

    def __init__(
        self, url: str, timeout_s: float, replica: Replica, table: VersionTable[Any], serving: FollowingReplica
    ) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._replica, self._table, self._serving = replica, table, serving
        self._schema = Schema(url, timeout_s)
        self._newest = 0
        self._due = 0.0
        self._unsure = True
        self.prepared = self.following = 0
        self.first = asyncio.Event()

    async def run(self) -> None:
        """Follow, and connect again whenever the connection is lost."""
        await follow_always(self._schema, self._follow, self._lost)

    async def close(self) -> None:
        """Sign the replica off, if Postgres answers; call it when `run` has ended."""
        await self._table.close()
        await self._schema.close()
        self._unsure = True
        with suppress(psycopg.Error, OSError, TimeoutError):
            async with asyncio.timeout(RETIRE_WITHIN_S):
                connection = await connect(self._url, connect_s=self._timeout_s, statement_s=RETIRE_WITHIN_S)
                async with connection:
                    await self._count(connection)
                    await ledger.retire(connection, self._replica.name)

    def _lost(self, error: Exception) -> None:
        self._schema.forget()
        self.first.set()
        _log.warning("generations are not followed for now: %s", cause(error))

    async def _follow(self) -> None:
        connection = await connect(self._url, connect_s=self._timeout_s, statement_s=ANSWER_WITHIN_S)
        try:
            # Listen first, so that a change during the first look is not missed.
            await connection.execute(f"LISTEN {ledger.CHANNEL}".encode())
            self._due = 0.0
            while True:
                async with asyncio.timeout(2 * ANSWER_WITHIN_S):
                    await self._look(connection)
                await self._wait(connection)
        finally:
            with suppress(psycopg.Error):
                await connection.close()

    async def _wait(self, connection: psycopg.AsyncConnection) -> None:
        """Wait until Postgres notifies of a change, the table changes, or the next report is due."""
        while not self._table.changed.is_set() and time.monotonic() < self._due:
            async for _ in connection.notifies(timeout=TICK_S, stop_after=1):
                return

    async def _look(self, connection: psycopg.AsyncConnection) -> None:
        """Read what is wanted, load and swap, and report."""
        newest = await ledger.read_newest(connection)
        active = newest if newest is None or newest.state is GenerationState.ACTIVE else None
        if active is None:
            active = await ledger.read_newest(connection, GenerationState.ACTIVE)
        preparing = newest if newest is not None and newest.state is GenerationState.PREPARING else None
        # Cleared before the table is read: the next look sees every change from here on.
        self._table.changed.clear()
        self._take(active, preparing)
        report = Report(self._replica.name, self._replica.role, self.prepared, self.following, self._table.held)
        await ledger.report(connection, report)
        if time.monotonic() >= self._due:
            await self._count(connection)
            self._due = time.monotonic() + POLL_S

    def _take(self, active: Generation | None, preparing: Generation | None) -> None:
        generations = [generation for generation in (preparing, active) if generation is not None]
        if not generations:
            self.first.set()
            return
        newest = max(generation.number for generation in generations)
        # Versions of the active generation come first: a replica that starts must serve before it prepares.
        wanted = [version for generation in reversed(generations) for version in generation.wanted.versions]
        self._table.want(tuple(dict.fromkeys(wanted)), anew=newest != self._newest)
        self._newest = newest
        ready = (one.number for one in generations if self._table.has(one.wanted.versions))
        self.prepared = max(ready, default=0)
        if active is not None and self._serving.follow(active):
            self.following = active.number
        if active is None or self.following == active.number or self._settled(active):
            self.first.set()

    def _settled(self, active: Generation) -> bool:
        """Whether no version with traffic is still loading; one that waits for the registry does not count."""
        held = self._table.held
        traffic = [version for version in (active.wanted.production, active.wanted.canary) if version is not None]
        return all(v in held and (held[v].state is not Load.LOADING or bool(held[v].message)) for v in traffic)

    async def _count(self, connection: psycopg.AsyncConnection) -> None:
        # After a lost connection it is unknown what was written, so everything is written again.
        whole, self._unsure = self._unsure, True
        for generation, row in await asyncio.to_thread(self._serving.counted, whole=whole):
            await ledger.count(connection, generation, self._replica.name, [row])
        self._unsure = False


async def following(follower: GenerationFollower, within_s: float) -> asyncio.Task[None]:
    """Start following and wait, for a bounded time, until the replica answers with the active generation."""
    task = asyncio.create_task(follower.run())
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await follower.first.wait()
    return task
