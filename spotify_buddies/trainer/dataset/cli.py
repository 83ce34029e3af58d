"""`buddies data`: the data set from raw files, its verdict, its report and examples from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say, visible
from spotify_buddies.trainer.command import OnRay, Settings, open_cluster
from spotify_buddies.trainer.copies.commands import pull, push
from spotify_buddies.trainer.settings import DataSettings

if TYPE_CHECKING:
    from spotify_buddies.trainer.dataset.reading.exports.find import Unread

__all__ = ["SECTIONS", "app", "open_cluster"]

_NAMED = 10  # files that the build names among those that it does not read

SECTIONS = {"data": DataSettings}

app = typer.Typer(help="Raw files to labelled data.", no_args_is_help=True)
app.command()(push)
app.command()(pull)

User = Annotated[
    str | None, typer.Option(help="Whose the exports are, instead of the names of the folders that they lie in.")
]
Details = Annotated[bool, typer.Option("--details", help="Every number of every part, after the verdict.")]


@app.command()
def synth(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option(help="Directory; default: <state>/raw.")] = None,
    preset: Annotated[str, typer.Option(help="A size by name; an unknown one lists them.")] = "demo",
    users: Annotated[int | None, typer.Option(min=1, help="Users, instead of the preset's.")] = None,
    playlists: Annotated[int | None, typer.Option(min=1, help="Playlists, instead of the preset's.")] = None,
    songs: Annotated[int | None, typer.Option(min=1, help="Songs, instead of the preset's.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 42,
    as_json: AsJson = False,
) -> None:
    """Make up listening data and playlists in the real file formats.

    Example: buddies data synth --preset demo --seed 7
    """
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.stages.stage import StageError, Writing
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.trainer.synth.write import PRESETS, SynthError, synthesise

    settings: Settings = context.obj
    if preset not in PRESETS:
        raise typer.BadParameter(f"{preset!r} is none of {', '.join(PRESETS)}", param_hint="--preset")
    size = PRESETS[preset]
    directory = output or settings.state_dir / "raw"
    with explained(SynthError, StageError), Writing(directory):
        summary = synthesise(
            directory,
            users=users or size.users,
            playlists=playlists or size.playlists,
            songs=songs or size.songs,
            seed=seed,
            progress=Reporter(),
        )
        show({key: value for key, value in vars(summary).items() if not key.startswith("_")}, as_json=as_json)


@app.command()
def build(
    context: typer.Context,
    raw: Annotated[
        str | None, typer.Argument(help="Directory of raw files, or s3://bucket/folder; default: <state>/raw.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Output directory; default: <state>/dataset.")] = None,
    skip_bad_files: Annotated[
        bool, typer.Option(help="Skip malformed rows, lines and playlists; they are counted and listed.")
    ] = False,
    user: User = None,
    feedback: Annotated[
        Path | None, typer.Option(help="An extract of `buddies retrain extract`: its likes and dislikes join the data.")
    ] = None,
    erased: Annotated[
        Path | None,
        typer.Option(help="Hashes of `buddies user erased`: nothing of these listeners is in the data set."),
    ] = None,
    erasure_key: Annotated[
        Path | None, typer.Option(help="File with the key of these hashes; default: <state>/erasure-key.")
    ] = None,
    ray: OnRay = None,
    details: Details = False,
    as_json: AsJson = False,
) -> None:
    """Build the data set: match songs, score, label and split, assign owners, draw triplets and validation batches.

    Recognised: mpd.slice.*.json, train_triplets.txt, unique_tracks.txt or song_data.csv, sid_mismatches.txt,
    listens.csv|parquet, playlists.csv|parquet, follows, likes, saves, dislikes and feedback as .csv|parquet, also .gz
    and .zst; and the exports of music services and players in docs/your-own-data.md, a folder a user. Files at an
    address are copied to <state>/fetched first. With --ray a cluster whose machines have the same
    release installed computes scores, triplets and batches; the files are the same byte for byte.

    Example: buddies data build ~/music-data --ray auto
    """
    from spotify_buddies.foundation.stages.blocks import THREADS
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.stages.stage import StageError, Writing
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.foundation.text.pseudonym import KEY_FILE
    from spotify_buddies.trainer.dataset.build import build_dataset
    from spotify_buddies.trainer.dataset.erased import read_erased
    from spotify_buddies.trainer.dataset.errors import DataError
    from spotify_buddies.trainer.dataset.reading.remote import local
    from spotify_buddies.trainer.dataset.reading.sources import find_sources, with_feedback
    from spotify_buddies.trainer.dataset.report import statistics

    settings: Settings = context.obj
    directory = output or settings.state_dir / "dataset"
    with explained(DataError, StageError), Writing(directory):
        progress = Reporter()
        place = local(raw, settings.state_dir / "fetched", progress) if raw else settings.state_dir / "raw"
        sources = find_sources(place, user)
        sources = with_feedback(sources, feedback) if feedback else sources
        _name_unread(sources.unread)
        with nullcontext(THREADS) if ray is None else open_cluster(ray) as blocks:
            build_dataset(
                sources,
                directory,
                settings.data,
                skip_bad_files=skip_bad_files,
                erased=read_erased(erased, erasure_key or settings.state_dir / KEY_FILE) if erased else None,
                blocks=blocks,
                progress=progress,
            )
        _print(statistics(directory), directory / "report.html", details=details, as_json=as_json)


@app.command()
def validate(
    context: typer.Context,
    path: Annotated[
        str | None,
        typer.Argument(help="Directory of raw files, one file, or s3://bucket/folder; default: <state>/raw."),
    ] = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Say of every raw file what it is, how many rows are used, and which are not and why. Writes nothing.

    Exits with 1 when a file cannot be used or the files are not enough for a data set. Formats: docs/your-own-data.md.

    Example: buddies data validate ~/music-data
    """
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.trainer.dataset.errors import DataError
    from spotify_buddies.trainer.dataset.reading.remote import local
    from spotify_buddies.trainer.dataset.validation.validate import validate

    settings: Settings = context.obj
    with explained(DataError):
        progress = Reporter()
        place = local(path, settings.state_dir / "fetched", progress) if path else settings.state_dir / "raw"
        report = validate(place, user=user, matching=settings.data.matching, progress=progress)
    if as_json:
        show(report.to_json(), as_json=True)
    else:
        say("\n".join(report.lines()))
    if not report.usable:
        raise typer.Exit(1)


@app.command()
def stats(
    context: typer.Context,
    dataset: Annotated[Path | None, typer.Argument(help="Data set directory; default: <state>/dataset.")] = None,
    details: Details = False,
    as_json: AsJson = False,
) -> None:
    """Judge the data set and write its report again, with the pairing when there is one.

    Example: buddies data stats --details
    """
    from spotify_buddies.foundation.stages.stage import StageError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.dataset.report import statistics, write_report

    settings: Settings = context.obj
    directory = dataset or settings.state_dir / "dataset"
    with explained(StageError):
        _print(statistics(directory), write_report(directory), details=details, as_json=as_json)


@app.command()
def listeners(
    context: typer.Context,
    dataset: Annotated[Path | None, typer.Argument(help="Data set directory; default: <state>/dataset.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of users.")] = 3,
    songs: Annotated[int, typer.Option(min=1, help="Songs of each.")] = 10,
    cold: Annotated[bool, typer.Option(help="Users that training has not seen.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show some users with songs of theirs, to try `buddies recommend` with.

    Example: buddies data listeners --cold --count 1
    """
    from spotify_buddies.foundation.stages.stage import StageError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.dataset.examples import examples

    settings: Settings = context.obj
    with explained(StageError):
        users = examples(dataset or settings.state_dir / "dataset", count=count, songs=songs, cold=cold)
    if as_json:
        say(json.dumps(users, indent=1))
        return
    for user in users:
        say(visible(user["user_id"]))
        for song in user["songs"]:
            say(f"  {visible(song['title'])} - {visible(song['artist'])}")


def _name_unread(unread: Sequence[Unread]) -> None:
    """Say which files are not read: one that is spelt wrongly would else be missed by nobody."""
    if not unread:
        return
    say(f"not read: {len(unread):,} of the files", err=True)
    for one in unread[:_NAMED]:
        say(f"  {visible(one.name)}: {one.why}", err=True)
    if len(unread) > _NAMED:
        say(f"  and {len(unread) - _NAMED:,} more; `buddies data validate` names all", err=True)


def _print(statistics: dict[str, dict[str, Any]], report: Path, *, details: bool, as_json: bool) -> None:
    """The verdict first; every number where it is asked for, and in JSON always."""
    from spotify_buddies.foundation.terminal.console import show
    from spotify_buddies.trainer.dataset.verdict import judge

    verdict = judge(statistics)
    if as_json:
        show({**statistics, "verdict": verdict.to_json()}, as_json=True)
        return
    say("\n".join(verdict.lines()))
    if details:
        say()
        show(statistics, as_json=False)
    say(f"\nreport: {report}" + ("" if details else "; every number: --details"))
