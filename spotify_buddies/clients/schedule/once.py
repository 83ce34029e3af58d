"""One run of a job by a person, now."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from spotify_buddies.clients.schedule import leader, runs
from spotify_buddies.clients.schedule.jobs import Job, Moments
from spotify_buddies.clients.schedule.simulated import unless_stopped
from spotify_buddies.clients.schedule.work import Worker, prepare


class Busy(Exception):
    """The job runs already."""


async def run_once(settings: Any, job: Job, at: datetime, stop: asyncio.Event) -> dict[str, Any]:
    """Run a job with the moment that it is handed. JSON values; outcome "ended": it was stopped.

    Busy: a scheduler or a person runs it. psycopg.Error, NoPostgres, NotPrepared, TimeoutError.
    """
    within_s = settings.schedule.stop_within_s
    async with await leader.connect(settings) as connection:
        await prepare(connection, within_s)
        worker = Worker(connection, Moments.of(settings), within_s)
        number = await worker.begin(job, runs.ONCE, at)
        if number is None:
            raise Busy(f"{job.name} runs already; `buddies schedule status` shows it")
        ended = await unless_stopped(worker, job, at, number, stop)
    if ended is None:
        return {"job": job.name, "at": at.isoformat(), "outcome": "ended", "exit_code": None, "said": ""}
    return {
        "job": job.name, "at": at.isoformat(), "outcome": ended.outcome, "exit_code": ended.exit_code,
        "said": ended.said,
    }  # fmt: skip
