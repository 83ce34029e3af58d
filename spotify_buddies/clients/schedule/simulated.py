"""The schedule by a clock that steps through its times: weeks in as long as the jobs take."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import psycopg

from spotify_buddies.clients.schedule import leader, runs
from spotify_buddies.clients.schedule.jobs import Job, Moments, jobs_of
from spotify_buddies.clients.schedule.process import Ended, Outcome
from spotify_buddies.clients.schedule.times import after
from spotify_buddies.clients.schedule.work import Worker, prepare, tell_json


class Led(Exception):
    """Another scheduler leads, and time can pass in one way only."""


def steps(jobs: Iterable[Job], zone: str, since: datetime, until: datetime) -> Iterator[tuple[datetime, Job]]:
    """The times of all jobs after since, up to and with until, in order; those of one moment in the order of jobs."""

    def of(job: Job) -> Iterator[tuple[datetime, int, Job]]:
        for at in after(job.settings.cron, zone, since):
            if at > until:
                return
            yield at, job.place, job

    for at, _, job in heapq.merge(*map(of, jobs), key=lambda step: step[:2]):
        yield at, job


async def simulate(settings: Any, since: datetime, until: datetime, stop: asyncio.Event) -> dict[str, Any]:
    """Run every job that is on at each of its times, one after the other. A job that fails ends nothing.

    The sums: runs by job and outcome, and where it was when it was stopped, null: at the end. Led, psycopg.Error.
    """
    schedule = settings.schedule
    jobs = [job for job in jobs_of(schedule).values() if job.settings.enabled]
    counts: Counter[tuple[str, str]] = Counter()
    stopped: datetime | None = None
    async with await leader.connect(settings) as connection:
        if not await leader.take_lead(connection):
            raise Led("another scheduler leads; stop it first")
        await prepare(connection, schedule.stop_within_s)
        await runs.end_lost(connection)
        worker = Worker(connection, Moments.of(settings, since.date()), schedule.stop_within_s)
        for at, job in steps(jobs, schedule.zone, since, until):
            outcome = None if stop.is_set() else await _step(connection, worker, job, at, stop)
            if outcome is None:
                stopped = at
                break
            counts[job.name, outcome] += 1
    by_job: dict[str, dict[str, int]] = {}
    for (name, outcome), count in sorted(counts.items()):
        by_job.setdefault(name, {})[outcome] = count
    return {"since": since.isoformat(), "until": until.isoformat(), "stopped_at": _iso(stopped), "runs": by_job}


async def _step(
    connection: psycopg.AsyncConnection, worker: Worker, job: Job, at: datetime, stop: asyncio.Event
) -> str | None:
    """The outcome of one run; None: it was stopped."""
    await leader.answered(leader.check(connection))
    number = await worker.begin(job, runs.SIMULATED, at)
    if number is None:
        raise Led(f"{job.name} is being run by somebody else; wait for its end")
    ended = await unless_stopped(worker, job, at, number, stop)
    if ended is None:
        return None
    tell_json({"job": job.name, "at": at.isoformat(), "outcome": ended.outcome, "exit_code": ended.exit_code})
    return ended.outcome


async def unless_stopped(worker: Worker, job: Job, at: datetime, number: int, stop: asyncio.Event) -> Ended | None:
    """The end of a run that has begun; None: it was stopped, and has ended."""
    work = asyncio.create_task(worker.work(job, at, number))
    waits = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((work, waits), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waits.cancel()
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
    return None if work.cancelled() else work.result()


def all_done(summary: dict[str, Any]) -> bool:
    """Whether every run has done its work."""
    return all(set(outcomes) <= {Outcome.DONE} for outcomes in summary["runs"].values())


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
