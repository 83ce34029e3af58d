"""What every clock does with a job: begin, run, note how it ended, tell."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg

from spotify_buddies.clients.command.invoke import command as buddies
from spotify_buddies.clients.schedule import leader, process, runs
from spotify_buddies.clients.schedule.jobs import Job, Moments
from spotify_buddies.clients.schedule.process import Ended, Outcome
from spotify_buddies.foundation.terminal.visible import say

MIGRATE_WITHIN_S = 3_600.0


class NotPrepared(Exception):
    """The schema could not be brought up to date."""


def tell(text: str) -> None:
    """A line of the log, with the time, on standard error."""
    say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}", err=True)


def tell_json(body: dict[str, Any]) -> None:
    """A line of JSON."""
    say(json.dumps(body))
    with suppress(OSError):
        sys.stdout.flush()


async def prepare(connection: psycopg.AsyncConnection, stop_within_s: float) -> None:
    """Bring the schema up to date where the history is missing. NotPrepared, psycopg.Error."""
    if await runs.is_there(connection):
        return
    done = await process.run(buddies("store", "migrate"), timeout_s=MIGRATE_WITHIN_S, stop_within_s=stop_within_s)
    if done.outcome is not Outcome.DONE:
        raise NotPrepared(f"`buddies store migrate` failed: {done.said}")


class Worker:
    """Runs jobs for whoever holds their lock on a connection. command: the command line of a job's arguments."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection,
        moments: Moments,
        stop_within_s: float,
        command: Callable[..., list[str]] = buddies,
    ) -> None:
        self._connection = connection
        self._command = command
        self._moments = moments
        self._stop_within_s = stop_within_s

    async def begin(self, job: Job, started_by: str, due: datetime) -> int | None:
        """The number of a run that begins; None: somebody else runs the job. psycopg.Error, TimeoutError."""
        if not await leader.take_job(self._connection, job.name):
            return None
        return await runs.begin(self._connection, job.name, started_by, due)

    async def work(self, job: Job, due: datetime, number: int) -> Ended:
        """Run a job that has begun, to its end. psycopg.Error: its end is not noted. CancelledError: it was ended."""
        arguments = self._moments.arguments(job, due)
        tell(f"{job.name}: buddies {' '.join(arguments)}")
        began, settings = time.monotonic(), job.settings
        try:
            ended = await process.run(
                self._command(*arguments),
                timeout_s=settings.timeout_s,
                stop_within_s=self._stop_within_s,
                fine=settings.fine,
            )
        except OSError as error:
            ended = Ended(Outcome.FAILED, 1, str(error))
        except asyncio.CancelledError:
            with suppress(psycopg.Error, TimeoutError):
                async with asyncio.timeout(leader.ANSWER_S):
                    await runs.end_as_ended(self._connection, number)
            tell(f"{job.name}: ended with the scheduler")
            raise
        tell(_line(job.name, ended, time.monotonic() - began))
        await runs.end(self._connection, number, ended)
        await leader.release_job(self._connection, job.name)
        return ended


def _line(name: str, ended: Ended, took_s: float) -> str:
    line = f"{name}: {ended.outcome} after {took_s:.1f} s, exit code {ended.exit_code}"
    if ended.outcome is Outcome.DONE:
        return line
    return "\n".join([line, *(f"  {one}" for one in ended.said.splitlines())])
