"""`buddies online decide`: a canary judged by what listeners did in a window of event times."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.settings.command import store_url

if TYPE_CHECKING:
    from spotify_buddies.serve_app.generations.state import Generation
    from spotify_buddies.serve_app.online.evaluation.report import Report

MEASURE = "like_rate_per_listener"
PROMOTE, ROLLBACK, HOLD, NOTHING = "promote", "rollback", "hold", "no_canary"
WHO = "online decide"


@dataclass(frozen=True)
class Decision:
    """action: PROMOTE, ROLLBACK, HOLD or NOTHING. difference, low, high: of like rates by listener, canary less
    production; None where there is none.
    """

    action: str
    why: str
    canary: str | None = None
    production: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None


def judged(made: Report, canary: str, production: str) -> Decision:
    """What the report says of the two arms: promote a surely better canary, roll back a surely worse one, else hold."""
    names = (f"{canary} canary", f"{production} production")
    for one in made.differences:
        found = one.measures.get(MEASURE)
        if (one.left, one.right) != names or found is None or found.low is None or found.high is None:
            continue
        figures = (canary, production, found.value, found.low, found.high)
        said = f"like rate by listener {found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f}) beside production"
        if found.low > 0:
            return Decision(PROMOTE, said, *figures)
        if found.high < 0:
            return Decision(ROLLBACK, said, *figures)
        return Decision(HOLD, f"{said}: neither better nor worse", *figures)
    return Decision(
        HOLD, f"too few listeners of version {canary} and version {production} to compare", canary, production
    )


def decide(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="Begin: a span before the end (14d) or a time in ISO 8601.")] = "14d",
    until: Annotated[str | None, typer.Option(help="End, a time in ISO 8601; default: now.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it and change nothing.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every replica serves it; exit 1 if they never do.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Promote the canary, or roll it back, by its like rate beside production's in a window that was chosen before.

    Of listeners of both arms, with an interval of 95 %: all of it above zero promotes, all of it below rolls back,
    anything else changes nothing. For weeks that are simulated, since the gates of a rollout measure in real time, and
    for people who run a canary by hand. One look per window: who looks again and again until it is clear is wrong more
    often than the interval says; the gates are made for that.

    Example: buddies online decide --since 2026-10-26 --until 2026-11-09
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.generations.ledger import Overtaken
    from spotify_buddies.serve_app.online.evaluation.read import NoViews
    from spotify_buddies.serve_app.rollout.changes import Refused

    begin, end = _window(since, until)
    url = store_url(context.obj, "postgres")
    with explained(psycopg.Error, NoViews, Overtaken, Refused):
        decision = _decide(url, begin, end)
        if not dry_run and decision.action in (PROMOTE, ROLLBACK):
            within_s = context.obj.rollout.prepare_within_s if wait else 0.0
            asyncio.run(_act(url, context.obj.registry.model, decision, within_s))
    say(json.dumps(asdict(decision), indent=1) if as_json else f"{decision.action}: {decision.why}")


def _window(since: str, until: str | None) -> tuple[datetime, datetime]:
    from spotify_buddies.serve_app.online.evaluation.window import BadTime, moment

    now = datetime.now(UTC)
    try:
        end = now if until is None else moment(until, now)
        begin = moment(since, end)
    except BadTime as error:
        raise typer.BadParameter(str(error)) from error
    if begin >= end:
        raise typer.BadParameter("the window ends before it begins", param_hint="--since, --until")
    return begin, end


def _decide(url: str, begin: datetime, end: datetime) -> Decision:
    from spotify_buddies.serve_app.generations import ledger
    from spotify_buddies.serve_app.online.evaluation.read import open_logs
    from spotify_buddies.serve_app.online.evaluation.report import Report, make_report
    from spotify_buddies.serve_app.online.evaluation.window import Window
    from spotify_buddies.serve_app.rollout.commands.drive import ask

    current: Generation | None = asyncio.run(ask(url, ledger.read_current))
    if current is None or current.wanted.canary is None:
        return Decision(NOTHING, "no canary is running")
    with open_logs(url, Window(begin, end, begin - (end - begin), None, None)) as logs:
        made = Report([], [], []) if logs is None else make_report(logs)
    return judged(made, current.wanted.canary, current.wanted.production)


async def _act(url: str, model: str, decision: Decision, within_s: float) -> None:
    from spotify_buddies.serve_app.generations.state import GenerationState
    from spotify_buddies.serve_app.rollout import changes
    from spotify_buddies.serve_app.rollout.commands.drive import Proposal, drive

    def same_canary(history: Sequence[Generation]) -> None:
        """Refused: the arms are no longer those that were judged."""
        now = next((one.wanted for one in history if one.state is not GenerationState.FAILED), None)
        if now is not None and (now.canary, now.production) != (decision.canary, decision.production):
            raise changes.Refused(f"version {decision.canary} is no longer the canary beside {decision.production}")

    change = changes.promote if decision.action == PROMOTE else changes.roll_back
    outcome = await drive(url, Proposal(model, change, decision.action, WHO, decision.why, None, same_canary), within_s)
    if outcome.problem:
        raise changes.Refused(outcome.problem)
