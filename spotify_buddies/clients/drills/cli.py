"""`buddies drill`: game days for operators; the suite runs the short ones."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import Annotated

import typer

from spotify_buddies.clients.command.invoke import CommandFailed, answer
from spotify_buddies.clients.command.option_groups import grouped
from spotify_buddies.clients.drills.framework.drill import Group, Options
from spotify_buddies.clients.drills.framework.result import DrillResult, text
from spotify_buddies.clients.drills.framework.runner import Ground, run
from spotify_buddies.clients.drills.framework.service import DrillError
from spotify_buddies.clients.drills.framework.traffic import Users
from spotify_buddies.clients.python import BuddiesError
from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.tables import table
from spotify_buddies.foundation.terminal.visible import say

app = typer.Typer(help="Break a part of the service on purpose and count what callers notice.", no_args_is_help=True)


@app.command("list")
def list_drills(as_json: AsJson = False) -> None:
    """List the drills.

    Example: buddies drill list
    """
    from spotify_buddies.clients.drills.catalogue import DRILLS

    if as_json:
        say(json.dumps({drill.name: drill.about for drill in DRILLS.values()}, indent=1))
        return
    rows: list[tuple[str, str]] = []
    for group in Group:
        rows += [(drill.name, drill.about) for drill in DRILLS.values() if drill.group is group]
        rows.append((group.value, "all of these, one after the other"))
    say(table(("drill", "what happens"), rows))


@dataclass(frozen=True)
class SingleDrills:
    """Options of single drills."""

    cases: Annotated[int, typer.Option(min=1, help="Cases of the drill 'fuzz'.")] = 100_000
    seed: Annotated[int, typer.Option(help="Seed of the drill 'fuzz'.")] = 7
    swaps: Annotated[int, typer.Option(min=1, help="Swaps of the drill 'swaps'.")] = 20
    rate: Annotated[
        float | None,
        typer.Option(min=1, help="Calls per second; default: 100 for faults, half of the capacity for rollouts."),
    ] = None


@app.command("run")
@grouped
def run_drills(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(help="Drills by name, or 'faults' or 'rollouts' for all of a kind.")],
    single: SingleDrills,
    attach: Annotated[
        bool, typer.Option(help="Break the service that runs in this state directory, instead of one of our own.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run drills under traffic; exit code 1 when one of them finds more than its limits allow.

    A service is started for them with a trained version of this state directory, and stopped afterwards.

    Example: buddies drill run replica postgres
    """
    from spotify_buddies.clients.drills.catalogue import chosen

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C: the service must not be left running
    try:
        drills = chosen(names)
    except KeyError as error:
        raise typer.BadParameter(f"no drill {error.args[0]!r}; see `buddies drill list`") from None
    options = Options(context.obj.registry.model, single.swaps, single.rate, single.cases, single.seed)
    ground = Ground(context.obj.state_dir.absolute(), options, _users, _progress, attach)
    results: list[DrillResult] = []
    try:
        for result in run(drills, ground):
            results.append(result)
            # With --json the tables are for whoever looks on.
            _progress(result.details() if as_json and result.lines else f"{result.name}: {result.verdict}")
    except (DrillError, CommandFailed, BuddiesError) as error:
        say(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    finally:
        if results:
            say(json.dumps([one.plain() for one in results], indent=1) if as_json else text(results))
    if any(result.problems for result in results):
        raise typer.Exit(1)


def _users(count: int) -> Users:
    """Some users of the data set, with songs of theirs. CommandFailed: there is no data set."""
    return Users.of(answer("data", "listeners", "--count", str(count)))


def _progress(line: str) -> None:
    say(line, err=True)
