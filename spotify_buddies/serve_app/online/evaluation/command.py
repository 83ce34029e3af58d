"""`buddies online report` and `buddies online worth`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.settings.command import store_url

if TYPE_CHECKING:
    from spotify_buddies.serve_app.online.evaluation.report import Report
    from spotify_buddies.serve_app.online.evaluation.window import Window
    from spotify_buddies.serve_app.online.evaluation.worth import Worth

Since = Annotated[str, typer.Option(help="Begin: a span before now (12h, 7d, 4w) or a time in ISO 8601.")]
Until = Annotated[str | None, typer.Option(help="End, in the same words; default: now.")]
NOTHING = "nothing is stored yet"


def report(
    context: typer.Context,
    since: Since = "7d",
    until: Until = None,
    past: Annotated[str, typer.Option(help="How long before the window a listener's past begins.")] = "28d",
    version: Annotated[str | None, typer.Option(help="This version alone.")] = None,
    arm: Annotated[str | None, typer.Option(help="This arm alone.")] = None,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option(help="Also write the report to this file, as one page.")] = None,
) -> None:
    """Like rates, MRR, coverage and more of what was shown, by version and arm, with intervals by listener.

    Example: buddies online report --since 14d --html report.html
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.online.evaluation.read import NoViews, open_logs
    from spotify_buddies.serve_app.online.evaluation.report import Report, make_report

    window = _window(since, until, past, version, arm)
    with explained(psycopg.Error, NoViews):
        with open_logs(store_url(context.obj, "postgres"), window) as logs:
            made = Report([], [], [NOTHING]) if logs is None else make_report(logs)
        if html is not None:
            _write(made, window, html)
    if as_json:
        about = {"since": window.since.isoformat(), "until": window.until.isoformat(), "version": version, "arm": arm}
        say(json.dumps({**about, **asdict(made)}, indent=1))
        return
    _say(made, window, html)


def worth(
    context: typer.Context,
    version: Annotated[str, typer.Option(help="The version whose worth is estimated.")],
    since: Since = "7d",
    until: Until = None,
    floor: Annotated[int, typer.Option(min=2, help="The least effective sample size.")] = 100,
    as_json: AsJson = False,
) -> None:
    """What a version would earn in the places that other versions filled at random: IPS, SNIPS, doubly robust.

    Example: buddies online worth --version 7 --since 14d
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.online.evaluation.estimators import NoEstimate
    from spotify_buddies.serve_app.online.evaluation.read import NoViews, open_logs
    from spotify_buddies.serve_app.online.evaluation.worth import estimate_worth

    window = _window(since, until, since, None, None)
    found: Worth | None = None
    refused = NOTHING
    with explained(psycopg.Error, NoViews), open_logs(store_url(context.obj, "postgres"), window) as logs:
        try:
            found = None if logs is None else estimate_worth(logs, version, floor)
        except NoEstimate as error:
            refused = f"no estimate: {error}"
    if as_json:
        say(json.dumps({"version": version, "refused": refused} if found is None else asdict(found), indent=1))
        return
    say(refused if found is None else _worth(found))


def _window(since: str, until: str | None, past: str, version: str | None, arm: str | None) -> Window:
    from spotify_buddies.serve_app.online.evaluation.window import BadTime, Window, moment

    now = datetime.now(UTC)
    try:
        begin = moment(since, now)
        return Window(begin, now if until is None else moment(until, now), moment(past, begin), version, arm)
    except BadTime as error:
        raise typer.BadParameter(str(error)) from error


def _write(made: Report, window: Window, path: Path) -> None:
    try:
        from spotify_buddies.serve_app.online.evaluation.page import render
    except ModuleNotFoundError as error:
        say(f"error: {error.name} is not installed; install 'spotify-buddies[report]' for --html", err=True)
        raise typer.Exit(1) from error
    scratch = path.with_name(f".{path.name}.partial")
    scratch.write_text(render(made, window), encoding="utf-8")
    scratch.replace(path)


def _say(made: Report, window: Window, html: Path | None) -> None:
    from spotify_buddies.serve_app.online.evaluation.text import lines

    say(str(window))
    if made.rows:
        say("\n" + "\n\n".join(lines(made)))
    else:
        say(
            "nothing is stored yet"
            if made.notes == [NOTHING]
            else "nothing was shown and nobody reacted in this window"
        )
    if html is not None:
        say(f"\nwritten to {html}")


def _worth(found: Worth) -> str:
    from spotify_buddies.foundation.terminal.tables import table
    from spotify_buddies.serve_app.online.evaluation.text import interval

    rows = {
        "logged": found.logged,
        "IPS": found.ips,
        "SNIPS": found.snips,
        "doubly robust": found.doubly_robust,
        "mean weight": found.mean_weight,
    }
    head = (
        f"likes per place drawn at random, if version {found.version} had filled it; {found.decisions:,} places, "
        f"effective sample size {found.effective_size:,.1f}"
    )
    cells = [(name, f"{one.value:.4f}", interval(one)) for name, one in rows.items()]
    return f"{head}\n\n{table(('estimate', 'value', '95 % interval'), cells, right=(1,))}"
