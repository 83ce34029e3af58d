"""The one process that decides: generations become active or fail, and the registry and Postgres agree.

All that it knows stands in Postgres and in the registry, so one that dies is replaced by any other. Of several, the one
with Postgres' lock works, and the others wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import GenerationState
from spotify_buddies.serve_app.rollout import controller_state
from spotify_buddies.serve_app.rollout.activation import settle
from spotify_buddies.serve_app.rollout.alias_sync import Agreement
from spotify_buddies.serve_app.rollout.apply_verdict import Judge, act
from spotify_buddies.serve_app.rollout.gauges import RolloutFigures, Watcher
from spotify_buddies.serve_app.rollout.preflight import Fetch
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.schema import Schema
from spotify_buddies.serve_app.telemetry.redact import cause
from spotify_buddies.trainer.registry.registry import Registry

# Any number that is ours, as in migrate.py.
LOCK = 0x62756472
ANSWER_WITHIN_S = 5.0
# While replicas prepare, their reports are looked at this often: going back to a loaded version takes a moment.
PREPARING_POLL_S = 0.1
_log = logging.getLogger(__name__)


def random_salt() -> str:
    """A new salt for a canary's share."""
    return secrets.token_hex(8)


class Controller:
    """Make it inside the running event loop; `run` until it is cancelled.

    fetch: a version's bundle. judge: the gates; None: people decide. salt: makes a new one for each canary. tell: is
    told what there is, once a poll.
    """

    def __init__(
        self,
        registry: Registry,
        postgres_url: str,
        fetch: Fetch,
        settings: RolloutSettings,
        *,
        judge: Judge | None = None,
        salt: Callable[[], str] = random_salt,
        tell: Callable[[RolloutFigures], None] | None = None,
    ) -> None:
        self._registry = registry
        self._url = postgres_url
        self._fetch = fetch
        self._settings = settings
        self._judge = judge
        self._salt = salt
        self._tell = tell
        self._watcher = Watcher()
        self._schema = Schema(postgres_url, ANSWER_WITHIN_S)
        self._told = asyncio.Event()

    async def run(self) -> None:
        """Work while Postgres is there and nobody else does; go on as soon as that is so again."""
        try:
            while True:
                try:
                    await self._work()
                except* (psycopg.Error, OSError, TimeoutError) as group:
                    self._schema.forget()
                    _log.warning("the rollout stands still: %s", cause(_first(group)))
                await asyncio.sleep(self._settings.poll_s)
        finally:
            await self._schema.close()

    async def _work(self) -> None:
        await self._schema.ready()
        async with await self._connect() as locked:
            cursor = await locked.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))
            if await cursor.fetchone() != (True,):
                return
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._decide(locked))
                tasks.create_task(self._agree())
                tasks.create_task(self._listen())

    async def _decide(self, connection: psycopg.AsyncConnection) -> None:
        """On the connection that holds the lock: who has lost it decides nothing any more."""
        beaten = -math.inf
        while True:
            self._told.clear()
            if time.monotonic() - beaten >= self._settings.poll_s:
                await controller_state.beat(connection)
                if self._tell is not None:
                    self._tell(await self._watcher.look(connection))
                beaten = time.monotonic()
            newest = await settle(connection, self._settings.prepare_within_s)
            acted = False
            if newest is not None and self._judge is not None:
                acted = await act(connection, self._registry.model, newest, self._judge)
            preparing = acted or (newest is not None and newest.state is GenerationState.PREPARING)
            # Not wait_for: until Python 3.12 a cancellation that meets the event is lost in it.
            with suppress(TimeoutError):
                async with asyncio.timeout(PREPARING_POLL_S if preparing else self._settings.poll_s):
                    await self._told.wait()

    async def _agree(self) -> None:
        agreement = Agreement(self._registry, self._fetch, self._settings, self._salt)
        try:
            async with await self._connect() as connection:
                while True:
                    await agreement.step(connection)
                    await asyncio.sleep(self._settings.poll_s)
        finally:
            agreement.close()

    async def _listen(self) -> None:
        async with await self._connect() as connection:
            await connection.execute(f"LISTEN {ledger.CHANNEL}".encode())
            self._told.set()
            async for _ in connection.notifies():
                self._told.set()

    async def _connect(self) -> psycopg.AsyncConnection:
        return await connect(self._url, connect_s=ANSWER_WITHIN_S, statement_s=ANSWER_WITHIN_S)


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
