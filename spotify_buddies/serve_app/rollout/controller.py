"""The rollout's controller: generations become active or fail, and the registry and Postgres agree.

It keeps everything in Postgres and in the registry, so any other controller can replace it. Of several, the one that
holds an advisory lock of Postgres works, and the others wait.
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
from spotify_buddies.serve_app.rollout.activation import activate
from spotify_buddies.serve_app.rollout.alias_sync import AliasSync
from spotify_buddies.serve_app.rollout.apply_verdict import Judge, apply_verdict
from spotify_buddies.serve_app.rollout.gauges import RolloutFigures, Watcher
from spotify_buddies.serve_app.rollout.preflight import Fetch
from spotify_buddies.serve_app.rollout.retention import Prune, retain
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.schema import Schema
from spotify_buddies.serve_app.telemetry.redact import cause
from spotify_buddies.trainer.registry.registry import Registry

# Any number, different from the locks of migrate.py and maintain.py.
LOCK = 0x62756472
ANSWER_WITHIN_S = 5.0
# While replicas prepare, reports are read this often: going back to a loaded version takes only a moment.
PREPARING_POLL_S = 0.1
# Between two runs of the retention without an activation, and after one that left something.
RETAIN_EVERY_S, RETAIN_AGAIN_S = 72_000.0, 600.0
_log = logging.getLogger(__name__)


def random_salt() -> str:
    """A new salt for a canary's share."""
    return secrets.token_hex(8)


class Controller:
    """Make it inside the running event loop; `run` until it is cancelled.

    fetch: gives a version's bundle. judge: the gates; None: people decide. salt: makes a new one for each canary. tell:
    receives the figures once a poll. prune: deletes old bundles; None: this machine keeps all.
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
        prune: Prune | None = None,
    ) -> None:
        self._registry = registry
        self._url = postgres_url
        self._fetch = fetch
        self._settings = settings
        self._judge = judge
        self._salt = salt
        self._tell = tell
        self._prune = prune
        self._watcher = Watcher()
        self._schema = Schema(postgres_url, ANSWER_WITHIN_S)
        # A generation changed; another generation became active.
        self._changed, self._activated = asyncio.Event(), asyncio.Event()
        self._active = 0

    async def run(self) -> None:
        """Work while Postgres answers and no other controller works; otherwise try again every poll."""
        try:
            while True:
                try:
                    await self._work()
                except* (psycopg.Error, OSError, TimeoutError) as group:
                    self._schema.forget()
                    _log.warning("the rollout is stopped for now: %s", cause(_first(group)))
                await asyncio.sleep(self._settings.poll_s)
        finally:
            await self._schema.close()

    async def _work(self) -> None:
        await self._schema.ready()
        async with await self._connect() as locked:
            cursor = await locked.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))
            if await cursor.fetchone() != (True,):
                return
            alias_sync = AliasSync(self._registry, self._fetch, self._settings, self._salt)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._decide(locked))
                    tasks.create_task(self._sync_aliases(alias_sync))
                    tasks.create_task(self._retain(alias_sync))
                    tasks.create_task(self._listen())
            finally:
                alias_sync.close()

    async def _decide(self, connection: psycopg.AsyncConnection) -> None:
        """Decide on the connection that holds the lock: a controller that loses the lock cannot decide any more."""
        last_beat = -math.inf
        while True:
            self._changed.clear()
            if time.monotonic() - last_beat >= self._settings.poll_s:
                await controller_state.beat(connection)
                if self._tell is not None:
                    self._tell(await self._watcher.look(connection))
                last_beat = time.monotonic()
            newest = await activate(connection, self._settings.prepare_within_s)
            acted = False
            if newest is not None and self._judge is not None:
                acted = await apply_verdict(connection, self._registry.model, newest, self._judge)
            if newest is not None and newest.state is GenerationState.ACTIVE and newest.number != self._active:
                self._active = newest.number
                self._activated.set()
            preparing = acted or (newest is not None and newest.state is GenerationState.PREPARING)
            await _wait(self._changed, PREPARING_POLL_S if preparing else self._settings.poll_s)

    async def _sync_aliases(self, alias_sync: AliasSync) -> None:
        async with await self._connect() as connection:
            while True:
                await alias_sync.step(connection)
                await asyncio.sleep(self._settings.poll_s)

    async def _retain(self, alias_sync: AliasSync) -> None:
        while True:
            self._activated.clear()
            # A connection only while it works: it rests for most of a day.
            async with await self._connect() as connection:
                pruned = await retain(connection, self._settings, alias_sync.named, self._prune)
            await _wait(self._activated, RETAIN_EVERY_S if pruned.complete else RETAIN_AGAIN_S)

    async def _listen(self) -> None:
        async with await self._connect() as connection:
            await connection.execute(f"LISTEN {ledger.CHANNEL}".encode())
            self._changed.set()
            async for _ in connection.notifies():
                self._changed.set()

    async def _connect(self) -> psycopg.AsyncConnection:
        return await connect(self._url, connect_s=ANSWER_WITHIN_S, statement_s=ANSWER_WITHIN_S)


async def _wait(event: asyncio.Event, most_s: float) -> None:
    # Not wait_for: until Python 3.12 a cancellation that meets the event is lost in it.
    with suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await event.wait()


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
