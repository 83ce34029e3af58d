"""`buddies load`: the service under load."""

from __future__ import annotations

import json
import signal
from typing import Annotated, Any

import typer

from spotify_buddies.clients.command.access import NoService, target
from spotify_buddies.clients.command.option_groups import grouped
from spotify_buddies.clients.load import report
from spotify_buddies.clients.load.access import Access
from spotify_buddies.clients.load.client_processes import LoadError
from spotify_buddies.clients.load.options import (
    CallOptions,
    PaceOptions,
    RunOptions,
    ServiceOptions,
    Thresholds,
    check_peers,
    check_run,
    plan_of,
)
from spotify_buddies.clients.load.peers import table
from spotify_buddies.clients.load.plan import LoadPlan
from spotify_buddies.clients.load.sample import SampleError
from spotify_buddies.clients.load.scenarios import run
from spotify_buddies.clients.load.thresholds import broken
from spotify_buddies.clients.python import BuddiesError
from spotify_buddies.foundation.terminal.visible import say

INTERRUPTED = 130


@grouped
def load(
    context: typer.Context,
    users: ServiceOptions,
    pace: PaceOptions,
    calls: CallOptions,
    options: RunOptions,
    thresholds: Thresholds,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts, with every second.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="With --peers: the table as Markdown.")] = False,
) -> None:
    """Call the service as many callers do; report how many calls it answers, how fast, and what it uses for them.

    With --rate, calls follow a fixed schedule and latency counts from the scheduled time, also when the server or the
    client was late. Ctrl-C prints what was measured until then.

    Examples: buddies load --callers 32 --baseline  |  buddies load --rate 500 --mix known=80,taste=10,feedback=10  |
    buddies load --scenario targets --baseline --json  |  buddies load --peers
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    check_run(options)
    plan = plan_of(pace, calls, "")
    if options.peers:
        check_peers(plan)
    elif as_markdown:
        raise typer.BadParameter("only the table of --peers", param_hint="--markdown")
    body, interrupted = _measure(context.obj, users, plan, options)
    written = (table.markdown if as_markdown else table.lines) if options.peers else report.whole
    say(json.dumps(body, indent=1) if as_json else "\n".join(written(body)))
    if interrupted:
        say("interrupted: these are the figures until then", err=True)
        raise typer.Exit(INTERRUPTED)
    problems = broken(body, thresholds)
    for line in problems:
        say(f"threshold not kept: {line}", err=True)
    if problems:
        raise typer.Exit(1)


def _measure(settings: Any, users: ServiceOptions, plan: LoadPlan, options: RunOptions) -> tuple[dict[str, Any], bool]:
    """The report's body and whether it was interrupted; an error or Ctrl-C before the first call ends the command."""
    try:
        service, access = target(settings, users.address), Access.of(settings.client, users.ca)
        if options.edge is not None and access is None:
            raise typer.BadParameter("an edge is called with TLS: name --ca, or set client.tls", param_hint="--edge")
        return run(plan.at(service.address), service, users, options, access)
    except (NoService, LoadError, SampleError, BuddiesError) as error:
        say(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        say("interrupted before anything was measured", err=True)
        raise typer.Exit(INTERRUPTED) from None
