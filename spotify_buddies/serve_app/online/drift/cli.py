"""`buddies drift`: whether what is asked, shown and liked has changed, and what a retraining should answer to."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.durations import moment
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.settings.command import store_url
from spotify_buddies.serve_app.settings.drift import DriftSettings

if TYPE_CHECKING:
    from spotify_buddies.serve_app.online.drift.report import DriftReport

SECTIONS = {"drift": DriftSettings}
# The exit code of a check that found an alarm.
ALARM = 4
_MOST_DAYS = 90

app = typer.Typer(help="Whether what is asked, shown and liked has changed.", no_args_is_help=True)


def _days(text: str) -> int:
    """7d or 2w as days. typer.BadParameter: anything else."""
    found = re.fullmatch(r"([0-9]{1,3})([dw])", text)
    days = 0 if found is None else int(found[1]) * (7 if found[2] == "w" else 1)
    if not 1 <= days <= _MOST_DAYS:
        raise typer.BadParameter(f"{text!r} is no span of 1 to {_MOST_DAYS} days such as 7d or 2w")
    return days


def _moment(text: str | None) -> datetime:
    """A time in ISO 8601, UTC where it names no zone; None: now. typer.BadParameter: neither."""
    if text is None:
        return datetime.now(UTC)
    try:
        return moment(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time such as 2026-11-28T06:00", param_hint="--until") from None


Window = Annotated[str, typer.Option(help="The window's length, as 7d or 2w.")]
Until = Annotated[str | None, typer.Option(help="End of the window in ISO 8601, as 2026-11-28T06:00; default: now.")]
Html = Annotated[Path | None, typer.Option(help="Also write the report to this file, as one page.")]


@app.command()
def report(
    context: typer.Context, window: Window = "7d", until: Until = None, html: Html = None, as_json: AsJson = False
) -> None:
    """Compare the window with the week before and with what the serving version was trained on.

    Example: buddies drift report --window 7d --html drift.html
    """
    _tell(_made(context, window, until, store=False), html, as_json=as_json)


@app.command()
def check(
    context: typer.Context, window: Window = "7d", until: Until = None, html: Html = None, as_json: AsJson = False
) -> None:
    """The report, stored, with the causes of a retraining that follow. Exit code 0: quiet, 4: an alarm.

    Example: buddies drift check
    """
    made = _made(context, window, until, store=True)
    _tell(made, html, as_json=as_json)
    if made.alarms:
        raise typer.Exit(ALARM)


@app.command()
def cause(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the oldest cause of a retraining that nobody has taken.

    Example: buddies drift cause --json
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.online.drift.causes import pending_cause
    from spotify_buddies.serve_app.rollout.commands.drive import ask

    with explained(psycopg.Error):
        found = asyncio.run(ask(store_url(context.obj, "postgres"), pending_cause))
    if as_json:
        say(json.dumps({"cause": None if found is None else vars(found)}, indent=1, default=str))
        return
    say("no cause is pending" if found is None else f"{found.id}: {found.kind} since {found.began}: {found.message}")


@app.command("take")
def take_cause(
    context: typer.Context,
    until: Annotated[str, typer.Option(help="End of the data that were trained with, as 2026-11-28T06:00.")],
    by: Annotated[str, typer.Option(help="Who trained, for the history.")] = "drift take",
    cause: Annotated[int | None, typer.Option(help="Number of the cause; those that began by then go with it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Note that a retraining answers to a cause, or to none; no other will.

    Example: buddies drift take --cause 3 --until 2026-11-28T06:00
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.online.drift.causes import take_by_number
    from spotify_buddies.serve_app.rollout.commands.drive import ask

    end = _moment(until)

    async def work(connection: psycopg.AsyncConnection) -> int:
        return await take_by_number(connection, cause, by, end)

    with explained(psycopg.Error):
        taken = asyncio.run(ask(store_url(context.obj, "postgres"), work))
    say(json.dumps({"taken": taken}) if as_json else f"causes taken: {taken}")


def _made(context: typer.Context, window: str, until: str | None, *, store: bool) -> DriftReport:
    import psycopg

    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.online.drift.causes import store_check
    from spotify_buddies.serve_app.online.drift.report import make_report
    from spotify_buddies.serve_app.online.drift.serving import bundle_of
    from spotify_buddies.serve_app.rollout.commands.drive import ask

    settings = context.obj
    days, end = _days(window), _moment(until)

    async def work(connection: psycopg.AsyncConnection) -> DriftReport:
        found = await make_report(connection, end, days, settings.drift, lambda name: bundle_of(settings, name))
        if store:
            await store_check(connection, found, settings.drift.retrain_blocks)
        return found

    with explained(psycopg.Error, LaunchError):
        return asyncio.run(ask(store_url(settings, "postgres"), work))


def _tell(made: DriftReport, html: Path | None, *, as_json: bool) -> None:
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.online.drift.text import lines

    if html is not None:
        from spotify_buddies.serve_app.online.drift.page import page

        with explained():
            html.write_text(page(made), encoding="utf-8")
    if as_json:
        say(json.dumps(made.as_json(), indent=1))
        return
    say("\n".join(lines(made)))
    if html is not None:
        say(f"written to {html}")
