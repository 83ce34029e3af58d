"""The `buddies` command: the verbs of every package, loaded when they are needed."""

from __future__ import annotations

import json
import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from spotify_buddies.clients.command.calls import feedback, recommend
from spotify_buddies.clients.command.demo import demo
from spotify_buddies.clients.command.doctor import doctor
from spotify_buddies.clients.command.plain_help import PlainHelp
from spotify_buddies.clients.command.settings import FILE_VARIABLE, SettingsError, read_settings, shown
from spotify_buddies.clients.load.command import load
from spotify_buddies.foundation.process.private import UMASK, NotPrivate, make_private
from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say

PACKAGE = "spotify-buddies"

EXTRAS = {
    **dict.fromkeys(("data", "train", "registry", "simulate"), "train"),
    **{"bench": "bench", "tune": "tune", "pair": "pairing", "serve": "serve", "daily": "serve", "queue": "queue"},
    **dict.fromkeys(("store", "online", "drift", "rollout", "user"), "serve"),
    **{"retrain": "retrain", "schedule": "schedule"},
}

LOOPBACK = ("localhost", "127.0.0.1", "::1")

config_app = typer.Typer(help="The settings in force.", no_args_is_help=True)


def build_app() -> typer.Typer:
    """Assemble the command."""
    app = typer.Typer(
        cls=PlainHelp,
        help="Organic playlists: recommend playlists made by people whose taste is near.",
        epilog="The whole workflow on synthetic data: buddies demo. Exit codes: 0 done, 1 failed, "
        "2 wrong usage or settings.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, group in _groups().items():
        app.add_typer(group, name=name)
    app.command()(recommend)
    app.command()(feedback)
    app.command()(load)
    app.command()(doctor)
    app.command()(demo)
    return app


def _groups() -> dict[str, typer.Typer]:
    """The nouns of the command. Their cli modules import nothing heavy until a verb runs."""
    from spotify_buddies.clients.drills.cli import app as drill_app
    from spotify_buddies.clients.schedule.cli import app as schedule_app
    from spotify_buddies.clients.simulate.cli import app as simulate_app
    from spotify_buddies.pairing.cli import app as pair_app
    from spotify_buddies.serve_app.daily.cli import app as daily_app
    from spotify_buddies.serve_app.online.cli import app as online_app
    from spotify_buddies.serve_app.online.drift.cli import app as drift_app
    from spotify_buddies.serve_app.queue.cli import app as queue_app
    from spotify_buddies.serve_app.rollout.cli import app as rollout_app
    from spotify_buddies.serve_app.runtime.cli import app as serve_app
    from spotify_buddies.serve_app.store.cli import app as store_app
    from spotify_buddies.serve_app.store.rights.cli import app as user_app
    from spotify_buddies.trainer.bench.cli import app as bench_app
    from spotify_buddies.trainer.dataset.cli import app as data_app
    from spotify_buddies.trainer.publish.cli import app as train_app
    from spotify_buddies.trainer.registry.cli import app as registry_app
    from spotify_buddies.trainer.retrain.cli import app as retrain_app
    from spotify_buddies.trainer.tune.cli import app as tune_app

    return {
        "data": data_app,
        "pair": pair_app,
        "train": train_app,
        "tune": tune_app,
        "registry": registry_app,
        "bench": bench_app,
        "serve": serve_app,
        "daily": daily_app,
        "drill": drill_app,
        "simulate": simulate_app,
        "queue": queue_app,
        "rollout": rollout_app,
        "store": store_app,
        "user": user_app,
        "online": online_app,
        "drift": drift_app,
        "retrain": retrain_app,
        "schedule": schedule_app,
        "config": config_app,
    }


def sections() -> dict[str, Any]:
    """The settings model of each section of buddies.toml, by name."""
    from spotify_buddies.clients.schedule.cli import SECTIONS as SCHEDULE
    from spotify_buddies.pairing.cli import SECTIONS as PAIRING
    from spotify_buddies.serve_app.online.drift.cli import SECTIONS as DRIFT
    from spotify_buddies.serve_app.queue.cli import SECTIONS as QUEUE
    from spotify_buddies.serve_app.rollout.cli import SECTIONS as ROLLOUT
    from spotify_buddies.serve_app.runtime.cli import SECTIONS as SERVE
    from spotify_buddies.trainer.dataset.cli import SECTIONS as DATA
    from spotify_buddies.trainer.publish.cli import SECTIONS as TRAIN
    from spotify_buddies.trainer.registry.cli import SECTIONS as REGISTRY
    from spotify_buddies.trainer.retrain.cli import SECTIONS as RETRAIN
    from spotify_buddies.trainer.tune.cli import SECTIONS as TUNE

    of_serving = {**SERVE, **QUEUE, **ROLLOUT, **DRIFT}
    return {**DATA, **TRAIN, **REGISTRY, **RETRAIN, **TUNE, **PAIRING, **of_serving, **SCHEDULE}


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            number = version(PACKAGE)
        except PackageNotFoundError:
            number = "(not installed)"
        say(f"{PACKAGE} {number}, Python {platform.python_version()}")
        raise typer.Exit


def _root(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Settings file; default: buddies.toml where there is one.")
    ] = None,
    print_version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the versions and exit."),
    ] = False,
) -> None:
    del print_version  # its callback has ended the command
    from spotify_buddies.pairing.cli import CLUSTER
    from spotify_buddies.serve_app.offline.cli import open_ranker
    from spotify_buddies.trainer.dataset.cli import open_cluster
    from spotify_buddies.trainer.publish.cli import RANKER

    context.obj = read_settings(sections(), file=config)
    if context.obj.state_dir.is_dir():
        with suppress(NotPrivate):  # commands that start something say so
            make_private(context.obj.state_dir)
    context.meta[CLUSTER] = open_cluster
    context.meta[RANKER] = open_ranker  # the trainer judges what is served, and imports nothing that serves
    if config is not None:
        os.environ[FILE_VARIABLE] = str(config.absolute())  # for the commands that a command runs


@config_app.command("show")
def show_config(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """Show every setting with its value, passwords masked.

    Example: BUDDIES_TRAIN__EPOCHS=5 buddies config show
    """
    values = shown(context.obj)
    if as_json:
        say(json.dumps(values, indent=1))
        return
    for key, value in values.items():
        if not isinstance(value, dict):
            say(f"{key} = {json.dumps(value)}")
    for key, value in values.items():
        if isinstance(value, dict):
            say(f"\n[{key}]")
            for name, item in value.items():
                help_text = type(getattr(context.obj, key)).model_fields[name].description
                say(f"{name} = {json.dumps(item)}  # {help_text}")


def main() -> None:
    """Run the command and turn an error into one sentence and an exit code."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.umask(UMASK)  # what people listen to is nobody else's business, nor are lists and logs
    _leave_out_proxies()
    try:
        build_app()(prog_name="buddies")
    except SettingsError as error:
        sys.exit(_fail(str(error), 2))
    except ModuleNotFoundError as error:
        sys.exit(_missing(error))


def _leave_out_proxies() -> None:
    """Reach what runs on this machine without http_proxy, in every library of this command and its children."""
    if not any(
        os.environ.get(name) or os.environ.get(name.upper()) for name in ("http_proxy", "https_proxy", "all_proxy")
    ):
        return
    given = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    named = [name.strip() for name in given if name.strip()]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*named, *(one for one in LOOPBACK if one not in named)])


def _missing(error: ModuleNotFoundError) -> int:
    noun = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if noun not in EXTRAS:
        raise error
    return _fail(f"{error.name} is not installed; install '{PACKAGE}[{EXTRAS[noun]}]' for `buddies {noun}`", 1)


def _fail(message: str, code: int) -> int:
    say(f"error: {message}", err=True)
    return code


if __name__ == "__main__":
    main()
