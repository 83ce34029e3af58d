"""The schedule and its history, as JSON values and for people."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from spotify_buddies.clients.schedule import leader, runs
from spotify_buddies.clients.schedule.jobs import jobs_of
from spotify_buddies.clients.schedule.settings import ScheduleSettings
from spotify_buddies.clients.schedule.times import base, due, next_after, words
from spotify_buddies.foundation.terminal.tables import table


def schedule_json(schedule: ScheduleSettings, now: datetime) -> list[dict[str, Any]]:
    """Every job in order: when it runs, in words too, its next time (null: it is off), and its command."""
    return [
        {
            "job": job.name,
            "enabled": job.settings.enabled,
            "cron": job.settings.cron,
            "words": words(job.settings.cron),
            "zone": schedule.zone,
            "next": next_after(job.settings.cron, schedule.zone, now).isoformat() if job.settings.enabled else None,
            "command": ["buddies", *job.settings.arguments],
            "timeout_s": job.settings.timeout_s,
        }
        for job in jobs_of(schedule).values()
    ]


def schedule_text(jobs: list[dict[str, Any]]) -> str:
    """A table of them."""
    rows = [
        (
            one["job"],
            one["cron"] if one["enabled"] else "off",
            one["words"],
            _time(one["next"]),
            " ".join(one["command"]),
        )
        for one in jobs
    ]
    return table(("job", "cron", "in words", "next", "command"), rows, whole=(1, 3))


async def status_json(connection: psycopg.AsyncConnection, schedule: ScheduleSettings, now: datetime) -> dict[str, Any]:
    """Who leads (null: nobody), and of each job the newest run (null: none) and the next time. psycopg.Error.

    next: the first time that has not been run, so it lies in the past where nobody leads; null: the job is off.
    """
    there = await runs.is_there(connection)
    found = await leader.who_leads(connection)
    newest = await runs.last_runs(connection) if there else {}
    dues = await runs.last_due(connection) if there else {}
    jobs = [
        {
            "job": job.name,
            "enabled": job.settings.enabled,
            "running": job.name in newest and newest[job.name].ended_at is None,
            "last": newest[job.name].to_json() if job.name in newest else None,
            "next": _next(schedule, job.settings.cron, dues.get(job.name), now) if job.settings.enabled else None,
        }
        for job in jobs_of(schedule).values()
    ]
    led = None if found is None else {"name": found.name, "since": found.since.isoformat()}
    return {"leader": led, "jobs": jobs}


def status_text(status: dict[str, Any]) -> str:
    """A line for the leader, a table of the jobs, and what the failed ones said."""
    led = status["leader"]
    lines = [
        "nobody leads: `buddies schedule run`" if led is None else f"{led['name']} leads since {_time(led['since'])}"
    ]
    headers = ("job", "last start", "last end", "outcome", "exit code", "next")
    lines.append(table(headers, [_row(one) for one in status["jobs"]], right=(4,), whole=(1, 2, 5)))
    for one in status["jobs"]:
        if one["last"] and one["last"]["outcome"] not in (None, "done"):
            lines += [f"{one['job']} said:", *(f"  {said}" for said in one["last"]["said"].splitlines())]
    return "\n".join(lines)


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    last: dict[str, Any] = job["last"] or {}
    outcome = "runs" if job["running"] else last.get("outcome") or "-"
    code = last.get("exit_code")
    return (
        job["job"], _time(last.get("started_at")), _time(last.get("ended_at")), outcome,
        "-" if code is None else str(code), _next_time(job),
    )  # fmt: skip


def _next_time(job: dict[str, Any]) -> str:
    return _time(job["next"]) if job["enabled"] else "off"


def _next(schedule: ScheduleSettings, cron: str, last: datetime | None, now: datetime) -> str:
    since = base(last, now)
    return (due(cron, schedule.zone, since, now) or next_after(cron, schedule.zone, since)).isoformat()


def _time(text: str | None) -> str:
    return "-" if text is None else f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}"
