"""`buddies schedule`: the commands of the loop at their times."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import typer

from spotify_buddies.clients.schedule.settings import ScheduleSettings
from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.durations import moment
from spotify_buddies.foundation.terminal.visible import say

SECTIONS = {"schedule": ScheduleSettings}

app = typer.Typer(help="What runs by itself, at its times.", no_args_is_help=True)


class ClockKind(Enum):
    """How time passes."""

    REAL = "real"
    SIMULATED = "simulated"


Until = Annotated[
    str | None, typer.Option(help="End of the window, as 2026-11-28 or 2026-11-28T07:00:00Z; default: this hour.")
]


@app.command()
def run(
    context: typer.Context,
    once: Annotated[str | None, typer.Option(metavar="JOB", help="Run this job now, and end.")] = None,
    as_of: Annotated[str | None, typer.Option(help="With --once: the moment that the job is handed.")] = None,
    clock: Annotated[ClockKind, typer.Option(help="simulated: step through the times of --from to --until.")] = (
        ClockKind.REAL
    ),
    since: Annotated[str | None, typer.Option("--from", metavar="DAY", help="Where a simulated clock begins.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Where it ends, this moment included.")] = None,
) -> None:
    """Run the jobs of [schedule] at their times until SIGTERM or Ctrl-C, as the only one that does.

    A second scheduler stands by and takes over. --once and a simulated clock write JSON and exit with 1 where a job
    failed; the log is on standard error.

    Examples: buddies schedule run  |  buddies schedule run --once daily  |
    buddies schedule run --clock simulated --from 2026-10-12 --until 2026-11-23
    """
    settings: Any = context.obj
    if clock is ClockKind.SIMULATED:
        if once is not None or as_of is not None or since is None or until is None:
            raise typer.BadParameter(
                "a simulated clock needs --from and --until, and nothing else", param_hint="--clock"
            )
        _simulate(settings, _moment(since, "--from"), _moment(until, "--until"))
    elif since is not None or until is not None:
        raise typer.BadParameter("these are for --clock simulated", param_hint="--from, --until")
    elif once is not None:
        _once(settings, once, datetime.now(UTC) if as_of is None else _moment(as_of, "--as-of"))
    elif as_of is not None:
        raise typer.BadParameter("this is for --once", param_hint="--as-of")
    else:
        from spotify_buddies.clients.schedule.loop import Scheduler

        _until_stopped(lambda stop: Scheduler(settings, stop).run())


def _once(settings: Any, name: str, at: datetime) -> None:
    from spotify_buddies.clients.schedule.jobs import check_days, jobs_of
    from spotify_buddies.clients.schedule.once import run_once

    jobs = jobs_of(settings.schedule)
    if name not in jobs:
        raise typer.BadParameter(f"no job {name!r}; there are {', '.join(jobs)}", param_hint="--once")
    check_days([jobs[name]], settings.schedule.start)
    done = _until_stopped(lambda stop: run_once(settings, jobs[name], at, stop))
    say(json.dumps(done, indent=1))
    if done["outcome"] not in ("done", "ended"):
        raise typer.Exit(1)


def _simulate(settings: Any, since: datetime, until: datetime) -> None:
    from spotify_buddies.clients.schedule.simulated import all_done, simulate

    done = _until_stopped(lambda stop: simulate(settings, since, until, stop))
    say(json.dumps(done))
    if not all_done(done):
        raise typer.Exit(1)


def _until_stopped(work: Any) -> Any:
    """The result of work, a function of an event that a stopping signal sets. Its errors are explained."""
    import psycopg

    from spotify_buddies.clients.schedule.leader import NoPostgres
    from spotify_buddies.clients.schedule.once import Busy
    from spotify_buddies.clients.schedule.simulated import Led
    from spotify_buddies.clients.schedule.work import NotPrepared
    from spotify_buddies.foundation.process.signals import STOPPING
    from spotify_buddies.foundation.terminal.console import explained

    async def stoppable() -> Any:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, stop.set)
        return await work(stop)

    with explained(psycopg.Error, NoPostgres, NotPrepared, Busy, Led, TimeoutError):
        return asyncio.run(stoppable())


@app.command("list")
def list_jobs(context: typer.Context, as_json: AsJson = False) -> None:
    """List the jobs: when they run, in words too, their next times and their commands.

    Example: buddies schedule list
    """
    from spotify_buddies.clients.schedule.view import schedule_json, schedule_text

    jobs = schedule_json(context.obj.schedule, datetime.now(UTC))
    say(json.dumps(jobs, indent=1) if as_json else schedule_text(jobs))


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show who leads, and of each job its last start, end, exit code and outcome, and its next time.

    Example: buddies schedule status --json
    """
    import psycopg

    from spotify_buddies.clients.schedule import leader
    from spotify_buddies.clients.schedule.view import status_json, status_text
    from spotify_buddies.foundation.terminal.console import explained

    async def ask() -> dict[str, Any]:
        async with await leader.connect(context.obj) as connection:
            return await status_json(connection, context.obj.schedule, datetime.now(UTC))

    with explained(psycopg.Error, leader.NoPostgres):
        found = asyncio.run(ask())
    say(json.dumps(found, indent=1) if as_json else status_text(found))


@app.command()
def retrain(
    context: typer.Context,
    window: Annotated[str | None, typer.Option(help="Length of the window, as 30d; default: the setting.")] = None,
    until: Until = None,
    when_caused: Annotated[bool, typer.Option(help="Only where drift or enough feedback asks for it.")] = False,
    as_json: AsJson = False,
) -> None:
    """`buddies retrain run`, and a note of the cause that it answers to, so that nothing answers to it again.

    Example: buddies schedule retrain --when-caused
    """
    import psycopg

    from spotify_buddies.clients.command.invoke import CommandFailed
    from spotify_buddies.clients.schedule import leader
    from spotify_buddies.clients.schedule.once import Busy
    from spotify_buddies.clients.schedule.steps import TRAINING
    from spotify_buddies.clients.schedule.steps import retrain as step
    from spotify_buddies.foundation.terminal.console import explained, show

    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) if until is None else _moment(until, "--until")

    async def alone() -> dict[str, Any]:
        # Whoever starts it, a scheduler, Airflow or a person: the lock goes with the connection.
        async with await leader.connect(context.obj) as connection:
            if not await leader.take_job(connection, TRAINING):
                raise Busy("a retraining runs already; wait for its end")
            return step(window or context.obj.retrain.window, at.isoformat(), when_caused=when_caused)

    with explained(CommandFailed, psycopg.Error, leader.NoPostgres, Busy, TimeoutError):
        made = asyncio.run(alone())
    show(made, as_json=as_json)


@app.command("start-rollout")
def start_rollout(
    percent: Annotated[
        float | None, typer.Option(min=0, max=100, help="Percent of the users; default: the first step.")
    ] = None,
    manual: Annotated[bool, typer.Option("--manual", help="Gates only measure; somebody else decides.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the rollout of the version at alias staging, if it never served and no canary runs.

    Example: buddies schedule start-rollout
    """
    from spotify_buddies.clients.command.invoke import CommandFailed
    from spotify_buddies.clients.schedule.steps import start_rollout as step
    from spotify_buddies.foundation.terminal.console import explained, show

    with explained(CommandFailed):
        made = step(percent, manual=manual)
    show(made, as_json=as_json)


def _moment(text: str, option: str) -> datetime:
    try:
        return moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
