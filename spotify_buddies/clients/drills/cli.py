"""`buddies drill`: game days for operators; the suite runs the short ones."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from spotify_buddies.clients.command.invoke import CommandFailed, answer
from spotify_buddies.clients.drills.outcome import Outcome, table
from spotify_buddies.clients.drills.rehearsal import Rehearsal
from spotify_buddies.clients.python import BuddiesError

FUZZ = "fuzz"
FUZZ_ABOUT = "requests that no client would send"
FLOOD = "flood"
FLOOD_ABOUT = "one caller floods the service with all that HTTP/2 allows"
EVERYTHING = "faults"
ROLLOUTS = "rollouts"
# Listeners of the rollouts' drills, so that both arms have some.
MANY = 5_000

app = typer.Typer(help="Break a part of the service on purpose and count what callers notice.", no_args_is_help=True)


@app.command("list")
def list_drills(as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts.")] = False) -> None:
    """List the drills.

    Example: buddies drill list
    """
    from spotify_buddies.clients.drills.drills import DRILLS
    from spotify_buddies.clients.drills.rollout_drills import ACTS

    faults = {**{drill.name: drill.about for drill in DRILLS.values()}, FUZZ: FUZZ_ABOUT, FLOOD: FLOOD_ABOUT}
    rollouts = {act.name: act.about for act in ACTS.values()}
    found = {**faults, **rollouts}
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for group, drills in ((EVERYTHING, faults), (ROLLOUTS, rollouts)):
        for name, about in drills.items():
            typer.echo(f"{name:<16}{about}")
        typer.echo(f"{group:<16}all of these, one after the other\n")


@app.command("run")
def run_drills(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(help="Drills by name, or 'faults' or 'rollouts' for all of a kind.")],
    attach: Annotated[
        bool, typer.Option(help="Break the service that runs in this state directory, instead of one of our own.")
    ] = False,
    cases: Annotated[int, typer.Option(min=1, help="Cases of the drill 'fuzz'.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Seed of the drill 'fuzz'.")] = 7,
    swaps: Annotated[int, typer.Option(min=1, help="Swaps of the drill 'swaps'.")] = 20,
    rate: Annotated[
        float | None,
        typer.Option(
            min=1, help="Calls a second of the rollouts' drills; default: half of what is answered. Of 'flood': 100."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts.")] = False,
) -> None:
    """Run drills under traffic; exit code 1 when one of them finds more than its limits allow.

    A service is started for them with a trained version of this state directory, and stopped afterwards.

    Example: buddies drill run replica postgres
    """
    from spotify_buddies.clients.drills.drills import DRILLS
    from spotify_buddies.clients.drills.rehearsal import Stage
    from spotify_buddies.clients.drills.rollout_drills import ACTS, rehearse
    from spotify_buddies.clients.drills.run import Plan, run
    from spotify_buddies.clients.drills.service_under_test import DrillError
    from spotify_buddies.clients.drills.traffic import Listeners

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C: the service must not stay behind
    groups = {EVERYTHING: (*DRILLS, FUZZ, FLOOD), ROLLOUTS: tuple(ACTS)}
    chosen = list(dict.fromkeys(drill for name in names for drill in groups.get(name, (name,))))
    if unknown := [name for name in chosen if name not in (*DRILLS, FUZZ, FLOOD, *ACTS)]:
        raise typer.BadParameter(f"no drill {unknown[0]!r}; see `buddies drill list`")
    outcomes: list[Outcome | Rehearsal] = []
    settings = context.obj
    try:
        # Some of the data set, with songs of theirs.
        listeners = Listeners.of(answer("data", "listeners", "--count", "50"))
        plan = Plan(settings.state_dir.absolute(), listeners, attach)
        for outcome in run([DRILLS[name] for name in chosen if name in DRILLS], plan, _say):
            outcomes.append(outcome)
            _say(f"{outcome.name}: {_verdict(outcome)}")
        if FUZZ in chosen:
            _say(f"{FUZZ}: {FUZZ_ABOUT}")
            outcomes.append(_fuzz(plan, cases, seed))
        if FLOOD in chosen:
            _say(f"{FLOOD}: {FLOOD_ABOUT}")
            flooded = _flood(plan, rate)
            outcomes.append(flooded)
            _say(flooded.text() if as_json else f"{FLOOD}: {_verdict(flooded)}")
        if acts := [ACTS[name] for name in chosen if name in ACTS]:
            many = Listeners.of(answer("data", "listeners", "--count", str(MANY)))
            for one in rehearse(
                acts, plan, settings.registry.model,
                lambda rollout: Stage(rollout, many.known, many.tastes, _say, swaps, rate), _say,
            ):  # fmt: skip
                outcomes.append(one)
                # With --json its tables are for whoever looks on.
                _say(one.text() if as_json else f"{one.name}: {_verdict(one)}")
    except (DrillError, CommandFailed, BuddiesError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    finally:
        if outcomes:
            typer.echo(json.dumps([one.plain() for one in outcomes], indent=1) if as_json else _text(outcomes))
    if any(outcome.problems for outcome in outcomes):
        raise typer.Exit(1)


def _verdict(outcome: Outcome | Rehearsal) -> str:
    return "passed" if outcome.passed else outcome.skipped or "; ".join(outcome.problems)


def _text(outcomes: Sequence[Outcome | Rehearsal]) -> str:
    """One table of the faults, and what each drill of the rollout has to say."""
    faults = [one for one in outcomes if isinstance(one, Outcome)]
    told = [table(faults)] if faults else []
    return "\n\n".join([*told, *(one.text() for one in outcomes if isinstance(one, Rehearsal))])


def _fuzz(plan: Any, count: int, seed: int) -> Outcome:
    from spotify_buddies.clients.command.endpoints import running
    from spotify_buddies.clients.drills.fuzz import ALLOWED, fuzz
    from spotify_buddies.clients.drills.run import service

    with service(plan) as served:
        found = asyncio.run(fuzz(served.endpoints.grpc, count, seed, tuple(plan.listeners.known)))
        alive = running(plan.state_dir) is not None
    outcome = Outcome(FUZZ, requests=count, failed=found.failed, errors=found.statuses, healed_s=0.0)
    problems = [
        f"{found.statuses[status]:,} x {status}, as {case.method} with bytes {case.data.hex()}"
        for status, case in found.worst.items()
        if status not in ALLOWED
    ]
    return replace(outcome, problems=tuple(problems) if alive else (*problems, "the service ended"))


def _flood(plan: Any, rate: float | None) -> Rehearsal:
    from spotify_buddies.clients.drills.flood.play import play
    from spotify_buddies.clients.drills.run import service

    with service(plan) as served:
        return play(served, plan.listeners.known, plan.listeners.tastes, _say, rate)


def _say(text: str) -> None:
    typer.echo(text, err=True)
