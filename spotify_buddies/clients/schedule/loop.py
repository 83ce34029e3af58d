"""The schedule by the clock: one leader starts what is due, others wait for its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg

from spotify_buddies.clients.command.invoke import command as buddies
from spotify_buddies.clients.schedule import leader, runs
from spotify_buddies.clients.schedule.jobs import Job, Moments, check_days, jobs_of
from spotify_buddies.clients.schedule.leader import NoPostgres
from spotify_buddies.clients.schedule.process import Ended
from spotify_buddies.clients.schedule.times import base, due
from spotify_buddies.clients.schedule.work import NotPrepared, Worker, prepare, tell

TICK_S = 1.0
AGAIN_S = 3.0
AWAY = (psycopg.Error, NoPostgres, NotPrepared, TimeoutError, OSError)


def _now() -> datetime:
    return datetime.now(UTC)


class Scheduler:
    """Waits for the lead and leads, until `stop` is set. Losing Postgres is losing the lead: running jobs are ended."""

    def __init__(
        self,
        settings: Any,
        stop: asyncio.Event,
        clock: Callable[[], datetime] = _now,
        command: Callable[..., list[str]] = buddies,
    ) -> None:
        self._command = command
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._jobs = [job for job in jobs_of(settings.schedule).values() if job.settings.enabled]
        check_days(self._jobs, settings.schedule.start)
        self._said = ""

    async def run(self) -> None:
        """Until `stop` is set. Postgres may be away; SettingsError was raised before."""
        while not self._stop.is_set():
            try:
                async with await leader.connect(self._settings) as connection:
                    if await self._wait_for_lead(connection):
                        await self._lead(connection)
            except AWAY as error:
                self._say_once(f"waits for Postgres: {' '.join(str(error).split()) or type(error).__name__}")
            await self._pause(AGAIN_S)

    async def _wait_for_lead(self, connection: psycopg.AsyncConnection) -> bool:
        """Whether this scheduler leads now; False: it was stopped."""
        while not await leader.take_lead(connection):
            found = await leader.who_leads(connection)
            self._say_once(f"stands by: {'another scheduler' if found is None else found.name} leads")
            await self._pause(TICK_S)
            if self._stop.is_set():
                return False
        return True

    async def _lead(self, connection: psycopg.AsyncConnection) -> None:
        schedule = self._settings.schedule
        await prepare(connection, schedule.stop_within_s)
        lost = await runs.end_lost(connection)
        self._say_once(f"leads as {leader.me()}" + (f"; cut off: {', '.join(sorted(lost))}" if lost else ""))
        worker = Worker(connection, Moments.of(self._settings), schedule.stop_within_s, self._command)
        # Jobs of a leader that was killed are ending now: they were sent SIGTERM by its death.
        led = _Led(self._jobs, worker, schedule.zone, time.monotonic() + schedule.stop_within_s if lost else 0.0, lost)
        led.last = {job.name: base(None, self._clock()) for job in self._jobs} | await runs.last_due(connection)
        try:
            while not self._stop.is_set():
                await leader.answered(leader.check(connection))
                await leader.answered(led.start_due(self._clock()))
                await self._pause(TICK_S)
        finally:
            await led.end()

    def _say_once(self, text: str) -> None:
        if text != self._said:
            tell(text)
            self._said = text

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()


class _Led:
    """The jobs of a leader: when each was run last, and which run now."""

    def __init__(self, jobs: list[Job], worker: Worker, zone: str, hold_until: float, held: set[str]) -> None:
        self.last: dict[str, datetime] = {}
        self._jobs, self._worker, self._zone = jobs, worker, zone
        self._hold_until, self._held = hold_until, held
        self._running: dict[str, asyncio.Task[Ended]] = {}

    async def start_due(self, now: datetime) -> None:
        """Start what is due and not hindered; what is hindered stays due, once. psycopg.Error, TimeoutError."""
        for name, task in list(self._running.items()):
            if task.done():
                del self._running[name]
                task.result()
        lanes = {job.lane for job in self._jobs if job.name in self._running}
        for job in self._jobs:
            self.last[job.name] = base(self.last[job.name], now)
            at = due(job.settings.cron, self._zone, self.last[job.name], now)
            if at is None or job.lane in lanes or self._is_held(job.name):
                continue
            number = await self._worker.begin(job, runs.CRON, at)
            if number is not None:
                lanes.add(job.lane)
                self.last[job.name] = at
                self._running[job.name] = asyncio.create_task(self._worker.work(job, at, number))

    async def end(self) -> None:
        """End what runs, and wait for it."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _is_held(self, name: str) -> bool:
        return name in self._held and time.monotonic() < self._hold_until
