"""`buddies rollout`: the versions that the service answers with, and bringing a new one to its users."""

from __future__ import annotations

import asyncio
import getpass
import json
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.settings.command import Settings, store_url
from spotify_buddies.serve_app.settings.rollout import RolloutSettings

if TYPE_CHECKING:
    from spotify_buddies.serve_app.generations.state import Generation
    from spotify_buddies.serve_app.rollout.commands.drive import Change, ChangeOutcome

SECTIONS = {"rollout": RolloutSettings}

app = typer.Typer(help="Model versions on live traffic: canary, shadow, promote, roll back.", no_args_is_help=True)

Who = Annotated[str | None, typer.Option(help="Your name, for the history; default: user@host.")]
Why = Annotated[str, typer.Option(help="Reason, for the history.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until every replica serves it; exit 1 if they never do.")]
Percent = Annotated[float, typer.Argument(min=0, max=100, help="Percent of the users.")]


@app.command()
def status(
    context: typer.Context,
    watch: Annotated[bool, typer.Option(help="Show it anew every second until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show generation, arms, replicas with their versions, the verdict of the gates, and the last events.

    Example: buddies rollout status --watch
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.rollout.commands.drive import ask
    from spotify_buddies.serve_app.rollout.commands.report import read_status
    from spotify_buddies.serve_app.rollout.commands.view import show_again_and_again, status_view

    url = store_url(context.obj, "postgres")
    with explained(psycopg.Error):
        if as_json:
            say(json.dumps(asyncio.run(ask(url, read_status)), indent=1))
            return
        if watch:
            show_again_and_again(lambda: status_view(asyncio.run(ask(url, read_status))))
        else:
            say(status_view(asyncio.run(ask(url, read_status))))


@app.command()
def history(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when and why, and whether it was served.

    Example: buddies rollout history --limit 10
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.rollout.commands.drive import ask
    from spotify_buddies.serve_app.rollout.commands.report import read_history
    from spotify_buddies.serve_app.rollout.commands.view import history_view

    with explained(psycopg.Error):
        generations = asyncio.run(ask(store_url(context.obj, "postgres"), lambda opened: read_history(opened, limit)))
    if as_json:
        say(json.dumps(generations, indent=1))
        return
    say(history_view(generations))


@app.command()
def start(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="Version number in the registry.")],
    percent: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, help="Percent of the users; default: the first step, or rollout.interleave_percent."
        ),
    ] = None,
    force: Annotated[bool, typer.Option(help="Skip the checks of metrics, data set and ids.")] = False,
    manual: Annotated[bool, typer.Option(help="Gates only measure; people decide, until `resume`.")] = False,
    interleave: Annotated[
        bool, typer.Option("--interleave", help="Give these users lists drafted from both versions, not the canary's.")
    ] = False,
    why: Why = "",
    who: Who = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Make a version the canary and give it a share of the users, after a check of its metrics and ids.

    Example: buddies rollout start 7 --percent 10 --why "twice the songs" --wait
    """
    from spotify_buddies.serve_app.rollout import changes
    from spotify_buddies.serve_app.rollout.commands.check import unequal_exploration
    from spotify_buddies.serve_app.rollout.controller import random_salt

    settings: Settings = context.obj
    if warning := unequal_exploration(settings):
        say(warning, err=True)
    default = settings.rollout.interleave_percent if interleave else settings.rollout.first_percent
    share = default if percent is None else percent

    def change(wanted: Any) -> Any:
        return changes.start(wanted, version, share, paused=manual, salt=random_salt, interleave=interleave)

    _change(context, "start", change, why, who, wait=wait, as_json=as_json, look_at=None if force else version)


@app.command("set-percent")
def set_percent(
    context: typer.Context,
    percent: Percent,
    why: Why = "",
    who: Who = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Give the canary another share; whoever had it keeps it when the share grows.

    Example: buddies rollout set-percent 25
    """
    from spotify_buddies.serve_app.rollout import changes

    def change(wanted: Any) -> Any:
        return changes.set_percent(wanted, percent)

    _change(context, "set-percent", change, why, who, wait=wait, as_json=as_json)


@app.command()
def promote(
    context: typer.Context, why: Why = "", who: Who = None, wait: Wait = False, as_json: AsJson = False
) -> None:
    """Make the canary production; production becomes previous and stays loaded.

    Example: buddies rollout promote --wait
    """
    from spotify_buddies.serve_app.rollout import changes

    _change(context, "promote", changes.promote, why, who, wait=wait, as_json=as_json)


@app.command()
def rollback(
    context: typer.Context,
    force: Annotated[
        bool, typer.Option(help="Make a version production again that an earlier rollback took away.")
    ] = False,
    why: Why = "",
    who: Who = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Remove the canary; without one, go back to the previous version.

    Example: buddies rollout rollback --why "users complain"
    """
    from spotify_buddies.serve_app.rollout import changes

    check_history = None if force else changes.refuse_return
    _change(context, "rollback", changes.roll_back, why, who, wait=wait, as_json=as_json, check_history=check_history)


@app.command()
def pause(context: typer.Context, why: Why = "", who: Who = None, wait: Wait = False, as_json: AsJson = False) -> None:
    """Let the gates measure and decide nothing.

    Example: buddies rollout pause --why "a holiday"
    """
    from spotify_buddies.serve_app.rollout import changes

    _change(context, "pause", changes.pause, why, who, wait=wait, as_json=as_json)


@app.command()
def resume(context: typer.Context, why: Why = "", who: Who = None, wait: Wait = False, as_json: AsJson = False) -> None:
    """Let the gates decide again.

    Example: buddies rollout resume
    """
    from spotify_buddies.serve_app.rollout import changes

    _change(context, "resume", changes.resume, why, who, wait=wait, as_json=as_json)


@app.command()
def shadow(
    context: typer.Context,
    version: Annotated[str | None, typer.Argument(help="Version number in the registry.")] = None,
    off: Annotated[bool, typer.Option("--off", help="End the shadow.")] = False,
    why: Why = "",
    who: Who = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Let a version rank beside production, unseen, and compare; nobody gets its lists.

    Example: buddies rollout shadow 7
    """
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.rollout import changes
    from spotify_buddies.serve_app.rollout.commands.check import registry_of
    from spotify_buddies.trainer.registry.registry import RegistryError

    if (version is None) != off:
        raise typer.BadParameter("name a version, or say --off", param_hint="VERSION")
    if version is not None:
        with explained(RegistryError):
            registry_of(context.obj).get(version)
    _change(
        context, "shadow", lambda wanted: changes.shadow(wanted, version), why, who, wait=wait, as_json=as_json
    )  # fmt: skip


def _change(
    context: typer.Context,
    action: str,
    change: Change,
    why: str,
    who: str | None,
    *,
    wait: bool,
    as_json: bool,
    look_at: str | None = None,
    check_history: Callable[[Sequence[Generation]], None] | None = None,
) -> None:
    """Propose a generation and print it. look_at: a version that is checked first, beside production."""
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.generations.ledger import Overtaken
    from spotify_buddies.serve_app.rollout.changes import Refused
    from spotify_buddies.serve_app.rollout.commands.check import checker
    from spotify_buddies.serve_app.rollout.commands.drive import Proposal, drive
    from spotify_buddies.trainer.registry.registry import RegistryError

    settings: Settings = context.obj
    within_s = settings.rollout.prepare_within_s if wait else 0.0
    look = None if look_at is None else checker(settings, look_at)
    proposal = Proposal(settings.registry.model, change, action, who or _me(), why, look, check_history)
    with explained(psycopg.Error, Overtaken, Refused, RegistryError):
        outcome = asyncio.run(drive(store_url(settings, "postgres"), proposal, within_s))
    _tell(outcome, as_json=as_json)
    if outcome.problem:
        say(f"error: {outcome.problem}", err=True)
        raise typer.Exit(1)


def _tell(outcome: ChangeOutcome, *, as_json: bool) -> None:
    from spotify_buddies.serve_app.rollout.commands.report import generation_json
    from spotify_buddies.serve_app.rollout.commands.view import wanted_text

    generation = outcome.generation
    if as_json:
        say(json.dumps({**generation_json(generation), "changed": outcome.changed}, indent=1))
        return
    if not outcome.changed:
        say(f"nothing to change: {outcome.note or f'generation {generation.number} already has this'}")
        return
    say(f"generation {generation.number} {generation.state}: {wanted_text(generation.wanted)}")


def _me() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
