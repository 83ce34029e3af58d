"""`buddies data`, `buddies train`, `buddies registry`: raw files to a registered model version."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from spotify_buddies.foundation.terminal.visible import say, visible
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.bench.cli import app as bench_app
from spotify_buddies.trainer.registry.cli import open_registry, registry_app
from spotify_buddies.trainer.settings import DataSettings, RegistrySettings, TrainSettings

if TYPE_CHECKING:
    from spotify_buddies.foundation.stages.blocks import Blocks

__all__ = ["SECTIONS", "bench_app", "data_app", "registry_app", "train_app"]

SECTIONS = {"data": DataSettings, "train": TrainSettings, "registry": RegistrySettings}

data_app = typer.Typer(help="Raw files to labelled data.", no_args_is_help=True)
train_app = typer.Typer(help="Fit and judge the ranking model.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="JSON for scripts.")]
OnRay = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="auto|HOST:PORT", help="Work on a Ray cluster: one that runs, else one on this machine."
    ),
]


class Protocols(Enum):
    """What an evaluation asks."""

    LIKES = "likes"
    ORGANIC = "organic"


class _Settings(Protocol):
    state_dir: Path
    mlflow_tracking_uri: str | None
    data: DataSettings
    train: TrainSettings
    registry: RegistrySettings
    pairing: PairingSettings


@data_app.command()
def synth(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option(help="Directory; default: <state>/raw.")] = None,
    preset: Annotated[str, typer.Option(help="A size by name; an unknown one lists them.")] = "demo",
    users: Annotated[int | None, typer.Option(min=1, help="Listeners, instead of the preset's.")] = None,
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

    settings: _Settings = context.obj
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


@data_app.command()
def build(
    context: typer.Context,
    raw: Annotated[Path | None, typer.Argument(help="Directory of raw files; default: <state>/raw.")] = None,
    output: Annotated[Path | None, typer.Option(help="Output directory; default: <state>/dataset.")] = None,
    skip_bad_files: Annotated[
        bool, typer.Option(help="Go on without malformed files; they are counted and listed.")
    ] = False,
    ray: OnRay = None,
    as_json: AsJson = False,
) -> None:
    """Read raw files, match songs, score, label, split, own, draw triplets and validation batches.

    Recognised: mpd.slice.*.json, train_triplets.txt, unique_tracks.txt or song_data.csv, sid_mismatches.txt,
    listens.csv|parquet, playlists.csv|parquet, also .gz and .zst. With --ray scores, triplets and batches are worked
    out on a cluster whose machines have the same release installed; the files are the same byte for byte.

    Example: buddies data build ~/music-data --ray auto
    """
    from spotify_buddies.foundation.stages.blocks import THREADS
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.stages.stage import StageError, Writing
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.trainer.dataset.build import build_dataset
    from spotify_buddies.trainer.dataset.errors import DataError
    from spotify_buddies.trainer.dataset.reading.sources import find_sources
    from spotify_buddies.trainer.dataset.report import statistics

    settings: _Settings = context.obj
    directory = output or settings.state_dir / "dataset"
    with explained(DataError, StageError), Writing(directory):
        sources = find_sources(raw or settings.state_dir / "raw")
        with nullcontext(THREADS) if ray is None else open_cluster(ray) as blocks:
            build_dataset(
                sources,
                directory,
                settings.data,
                skip_bad_files=skip_bad_files,
                blocks=blocks,
                progress=Reporter(),
            )
        show(statistics(directory), as_json=as_json)
        if not as_json:
            say(f"\nreport: {directory / 'report.html'}")


@data_app.command()
def stats(
    context: typer.Context,
    dataset: Annotated[Path | None, typer.Argument(help="Data set directory; default: <state>/dataset.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the statistics of every part and write the report again, with the pairing when there is one.

    Example: buddies data stats --json
    """
    from spotify_buddies.foundation.stages.stage import StageError
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.trainer.dataset.report import statistics, write_report

    settings: _Settings = context.obj
    directory = dataset or settings.state_dir / "dataset"
    with explained(StageError):
        show(statistics(directory), as_json=as_json)
        report = write_report(directory)
        if not as_json:
            say(f"\nreport: {report}")


@data_app.command()
def listeners(
    context: typer.Context,
    dataset: Annotated[Path | None, typer.Argument(help="Data set directory; default: <state>/dataset.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many listeners.")] = 3,
    songs: Annotated[int, typer.Option(min=1, help="How many songs of each.")] = 10,
    cold: Annotated[bool, typer.Option(help="Listeners that training has not seen.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show some listeners with songs of theirs, to try `buddies recommend` with.

    Example: buddies data listeners --cold --count 1
    """
    from spotify_buddies.foundation.stages.stage import StageError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.dataset.examples import examples

    settings: _Settings = context.obj
    with explained(StageError):
        found = examples(dataset or settings.state_dir / "dataset", count=count, songs=songs, cold=cold)
    if as_json:
        say(json.dumps(found, indent=1))
        return
    for listener in found:
        say(visible(listener["user_id"]))
        for song in listener["songs"]:
            say(f"  {visible(song['title'])} - {visible(song['artist'])}")


@train_app.command()
def run(
    context: typer.Context,
    dataset: Annotated[Path | None, typer.Option(help="Data set directory; default: <state>/dataset.")] = None,
    pairing: Annotated[Path | None, typer.Option(help="Pairing directory; default: <state>/pairing.")] = None,
    alias: Annotated[list[str] | None, typer.Option(help="Alias of the new version; repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train BPR, write the bundle, register it as a model version. Interrupted, the same command goes on.

    Example: BUDDIES_TRAIN__EPOCHS=10 buddies train run --alias staging
    """
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.stages.stage import StageError, Writing
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.bundle import BundleError
    from spotify_buddies.trainer.models.model import TrainingError
    from spotify_buddies.trainer.publish.release import train_and_release
    from spotify_buddies.trainer.publish.tracking import TrackingError
    from spotify_buddies.trainer.registry.registry import RegistryError

    settings: _Settings = context.obj
    errors = (StageError, TrainingError, TrackingError, BundleError, RegistryError)
    with explained(*errors), Writing(settings.state_dir):
        release = train_and_release(
            dataset or settings.state_dir / "dataset",
            pairing or settings.state_dir / "pairing",
            settings.state_dir,
            settings.train,
            settings.registry,
            uri=settings.mlflow_tracking_uri,
            aliases=tuple(alias or ("production",)),
            progress=Reporter(),
        )
    if as_json:
        say(
            json.dumps(
                {
                    "version": release.version,
                    "bundle_sha256": release.bundle_sha256,
                    "run_id": release.run_id,
                    "evaluation": release.evaluation.to_json(),
                },
                indent=1,
            )
        )
        return
    _print_table(release.evaluation.table())
    say(f"\nversion {release.version}, bundle {release.bundle_dir} (sha256 {release.bundle_sha256[:12]})")


@train_app.command()
def evaluate(
    context: typer.Context,
    bundle: Annotated[
        Path | None, typer.Option(help="likes: bundle directory; default: the version behind --alias.")
    ] = None,
    alias: Annotated[str, typer.Option(help="likes: registry alias.")] = "production",
    dataset: Annotated[Path | None, typer.Option(help="Data set directory; default: <state>/dataset.")] = None,
    protocol: Annotated[Protocols, typer.Option(help="What is asked: held-out likes, or people's own playlists.")] = (
        Protocols.LIKES
    ),
    peers: Annotated[
        bool, typer.Option(help="Train the other models of the table too; they are kept for the next time.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Judge a model beside plain BPR, the published recipe, implicit's BPR and ALS, a tf-idf SVD and the untrained.

    likes: rank a registered model's held-out likes among random and among hard negatives, and those of cold users.
    organic: cut every playlist of 20 or more songs into a library and a playlist that share no song, train on these,
    and rank everybody's own other half among 50 others: taste that song overlap cannot see. Beside it the likes of the
    same model, and what the pairing's candidates hold of the own halves.

    Example: buddies train evaluate --protocol organic
    """
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.stages.stage import StageError, Writing
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.bundle import BundleError, open_bundle
    from spotify_buddies.trainer.dataset.errors import DataError
    from spotify_buddies.trainer.dataset.table import open_dataset
    from spotify_buddies.trainer.evaluation.evaluate import check_made_from, evaluate_bundle
    from spotify_buddies.trainer.evaluation.organic.protocol import OrganicError, organic
    from spotify_buddies.trainer.models.model import TrainingError
    from spotify_buddies.trainer.models.peers import Peers, train_peers
    from spotify_buddies.trainer.registry.registry import RegistryError

    settings: _Settings = context.obj
    data = dataset or settings.state_dir / "dataset"
    errors = (StageError, BundleError, RegistryError, OrganicError, DataError, TrainingError)
    with explained(*errors), Writing(settings.state_dir):
        if protocol is Protocols.ORGANIC:
            work = settings.state_dir / "organic"
            found = organic(
                data, work, settings.data, settings.train, settings.pairing, peers=peers, progress=Reporter()
            )
            evaluation, left_out, shown = found.evaluation, found.left_out, found.to_json()
        else:
            opened = open_bundle(bundle or _fetch(settings, alias))
            check_made_from(data, opened)
            trained = Peers({}, {})
            if peers:
                home = settings.state_dir / "peers"
                train = settings.train.model_copy(update={"dimension": opened.manifest.dimension})
                trained = train_peers(open_dataset(data), train, home, progress=Reporter())
            evaluation = evaluate_bundle(data, opened, Reporter(), peers=trained.models)
            left_out, shown = trained.left_out, {**evaluation.to_json(), "left_out": dict(trained.left_out)}
    if as_json:
        say(json.dumps(shown, indent=1))
        return
    _print_table(evaluation.table())
    if protocol is Protocols.ORGANIC:
        say()
        _print_table(
            [["candidates of the pairing", "mean", "recall", "hit@5"], *(row.line() for row in found.candidates)]
        )
    for name, advice in left_out.items():
        say(f"{name} is left out: {advice}", err=True)


def open_cluster(address: str) -> AbstractContextManager[Blocks]:
    """The workers of a Ray cluster, as `trainer.cluster.connect.cluster` says; for the commands of every package."""
    from spotify_buddies.trainer.cluster.connect import cluster

    return cluster(address)


def _print_table(lines: list[list[str]]) -> None:
    """A header and its lines, in columns."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        say("  ".join(cells).rstrip())


def _fetch(settings: _Settings, alias: str) -> Path:
    registry = open_registry(settings)
    return registry.fetch(registry.resolve(alias).number, settings.state_dir / "bundles")
