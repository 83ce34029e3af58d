"""`buddies retrain`: feedback becomes training data, and a version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.trainer.settings import RetrainSettings

if TYPE_CHECKING:
    from spotify_buddies.trainer.dataset.erased import Erased
    from spotify_buddies.trainer.retrain.run import Outcome
    from spotify_buddies.trainer.retrain.window import Window

SECTIONS = {"retrain": RetrainSettings}
HOME, RUNS = "retrain", "retrain-runs"
# An extract that one user made to more than this share says little of others.
ONE_USER = 0.5

app = typer.Typer(help="Feedback becomes training data, and a version.", no_args_is_help=True)


@app.command()
def extract(
    context: typer.Context,
    window: Annotated[str | None, typer.Option(help="Length of the window, as 30d; default: the setting.")] = None,
    until: Annotated[
        str | None, typer.Option(help="End of it, as 2026-11-28 or 2026-11-28T07:00:00Z; default: this hour.")
    ] = None,
    dataset: Annotated[Path | None, typer.Option(help="Data set; default: <state>/dataset.")] = None,
    output: Annotated[Path | None, typer.Option(help="Directory; default: <state>/retrain/WINDOW.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the valid user-blocks of a window, split by time, and the likes and dislikes as real interactions.

    A block is one action on a list: a user, the one playlist that was liked, and those that were ignored. What is left
    out is counted with its reason. `buddies data build RAW --feedback DIRECTORY` trains with it.

    Example: buddies retrain extract --window 30d
    """
    from spotify_buddies.foundation.stages.stage import StageError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.retrain.extract import ExtractError, make
    from spotify_buddies.trainer.retrain.store import StoreError, postgres_url

    settings: Any = context.obj
    wanted = _window(window or settings.retrain.window, until)
    directory = output or settings.state_dir / HOME / wanted.id
    with explained(StoreError, ExtractError, StageError):
        url = postgres_url(settings.postgres_url, settings.state_dir)
        made = make(url, wanted, dataset or settings.state_dir / "dataset", directory, settings.retrain)
    if as_json:
        say(json.dumps({"directory": str(directory), **made.manifest}, indent=1))
        return
    say("\n".join(_lines(directory, made.manifest)))


@app.command()
def run(
    context: typer.Context,
    raw: Annotated[Path | None, typer.Argument(help="Directory of raw files; default: <state>/raw.")] = None,
    window: Annotated[str | None, typer.Option(help="Length of the window, as 30d; default: the setting.")] = None,
    until: Annotated[
        str | None, typer.Option(help="End of it, as 2026-11-28 or 2026-11-28T07:00:00Z; default: this hour.")
    ] = None,
    extracted: Annotated[
        Path | None, typer.Option("--extract", help="An extract that is there, instead of a window.")
    ] = None,
    dataset: Annotated[Path | None, typer.Option(help="Standing data set; default: <state>/dataset.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a version from the feedback of a window, compare it with the one that serves, and make it staging unless it
    is worse.

    The training goes on from the version behind alias production. Its data set is that of the raw files with the
    extract. Killed, the same command goes on. Exit code 0 also where the version is kept back, or where the window
    holds nothing to learn from; the reason is printed.

    Example: buddies retrain run --window 30d
    """
    from spotify_buddies.foundation.stages.stage import StageError, Writing
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.bundle import BundleError
    from spotify_buddies.trainer.dataset.errors import DataError
    from spotify_buddies.trainer.models.model import TrainingError
    from spotify_buddies.trainer.publish.tracking import TrackingError
    from spotify_buddies.trainer.registry.registry import RegistryError
    from spotify_buddies.trainer.retrain.extract import ExtractError, NothingToLearn
    from spotify_buddies.trainer.retrain.store import StoreError

    settings: Any = context.obj
    errors = (StoreError, ExtractError, StageError, DataError, TrainingError, TrackingError, BundleError, RegistryError)
    with explained(*errors), Writing(settings.state_dir):
        wanted = None if extracted else _window(window or settings.retrain.window, until)
        try:
            outcome = _retrain(context, raw, wanted, extracted, dataset or settings.state_dir / "dataset")
        except NothingToLearn as nothing:
            say(
                json.dumps({"outcome": "nothing_new", "against": [str(nothing)]}, indent=1) if as_json else str(nothing)
            )
            return
    if as_json:
        say(json.dumps({**outcome.body, "again": outcome.again}, indent=1))
        return
    say("\n".join(_said(outcome)))


def _retrain(
    context: typer.Context, raw: Path | None, window: Window | None, extracted: Path | None, standing: Path
) -> Outcome:
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.trainer.dataset.reading.sources import find_sources
    from spotify_buddies.trainer.publish.cli import RANKER
    from spotify_buddies.trainer.retrain.extract import make, open_extract
    from spotify_buddies.trainer.retrain.run import Place, Sections, retrain
    from spotify_buddies.trainer.retrain.store import postgres_url

    settings: Any = context.obj
    if window is None:
        directory = extracted or Path()
    else:
        directory = settings.state_dir / HOME / window.id
        make(postgres_url(settings.postgres_url, settings.state_dir), window, standing, directory, settings.retrain)
    extract = open_extract(directory)
    sections = Sections(
        settings.data, settings.train, settings.candidates, settings.registry, settings.pairing, settings.retrain
    )
    home = settings.state_dir / RUNS / directory.resolve().name
    place = Place(settings.state_dir, home, standing, settings.mlflow_tracking_uri)
    sources = find_sources(raw or settings.state_dir / "raw")
    erased = _erased(settings, required=window is not None)
    return retrain(sources, extract, place, sections, context.meta[RANKER], Reporter(), erased)


def _erased(settings: Any, *, required: bool) -> Erased | None:
    """Who was erased, as the store knows it. required: without a store it is an error, and no warning. StoreError."""
    from spotify_buddies.foundation.text.pseudonym import KEY_FILE
    from spotify_buddies.trainer.dataset.erased import erased_of
    from spotify_buddies.trainer.retrain.store import StoreError, postgres_url, read_erased_listeners

    try:
        named = read_erased_listeners(postgres_url(settings.postgres_url, settings.state_dir))
    except StoreError as error:
        if required:
            raise
        say(f"warning: listeners who were erased are not left out of the raw files: {error}", err=True)
        return None
    key_file = settings.serve.erasure_key_file or settings.state_dir / KEY_FILE
    return erased_of(named, key_file, "the store") if named else None


def _said(outcome: Outcome) -> list[str]:
    body = outcome.body
    lines = [*body["notes"], *_figures(body["judgement"])]
    version = f"version {body['version']} from {body['blocks']:,} user-blocks"
    if body["outcome"] == "registered":
        lines.append(f"{version} is staging; `buddies rollout start {body['version']}` brings it to listeners")
    else:
        lines += [f"{version} is kept back:", *(f"  {reason}" for reason in body["against"])]
    return [*lines, "this was so before; nothing was done"] if outcome.again else lines


def _figures(judgement: Mapping[str, Any]) -> list[str]:
    said = []
    for name, what in (
        ("feedback", "held-out feedback, MRR of the liked playlist within its list"),
        ("standing", "held-out likes of the standing data set, MRR among others"),
    ):
        if (found := judgement[name]) is not None:
            less = found["difference"]
            said.append(
                f"{what}: {found['new']['value']:.4f}, serving {found['serving']['value']:.4f}, difference "
                f"{less['value']:+.4f} ({less['low']:+.4f} to {less['high']:+.4f}), {found['people']:,} people"
            )
    return said


def _lines(directory: Path, manifest: dict[str, Any]) -> list[str]:
    splits = ", ".join(f"{count:,} {name}" for name, count in manifest["splits"].items())
    lines = [
        f"{manifest['blocks']:,} of {manifest['blocks_read']:,} user-blocks by {manifest['users']:,} users ({splits})"
    ]
    lines += [f"left out: {count:,} {reason}" for reason, count in manifest["left_out"].items() if count]
    if manifest["from_the_future"]:
        lines.append(f"{manifest['from_the_future']:,} blocks are from the future: check the machines' clocks")
    if manifest["of_the_busiest_user"] > ONE_USER * manifest["blocks"]:
        lines.append(f"one user made {manifest['of_the_busiest_user']:,} of them: this teaches little of others")
    return [*lines, f"written: {directory}"]


def _window(length: str, until: str | None) -> Window:
    """typer.BadParameter: they cannot be read."""
    from spotify_buddies.foundation.terminal.durations import moment, seconds
    from spotify_buddies.trainer.retrain.window import Window, whole_hour

    try:
        end = whole_hour(datetime.now(UTC)) if until is None else moment(until)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--until") from None
    try:
        return Window.ending(end, seconds(length))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--window") from None
