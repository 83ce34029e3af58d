"""`buddies retrain`: feedback becomes training data."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.trainer.settings import RetrainSettings

if TYPE_CHECKING:
    from spotify_buddies.trainer.retrain.window import Window

SECTIONS = {"retrain": RetrainSettings}
HOME = "retrain"
# An extract that one user made to more than this share says little of others.
ONE_USER = 0.5

app = typer.Typer(help="Feedback becomes training data.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group, so that `extract` stays a verb although it is the only one."""


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
