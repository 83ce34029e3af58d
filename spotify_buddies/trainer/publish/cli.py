"""`buddies train`: training and registration of a version, and the judgement of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.trainer.command import Settings, checked_aliases
from spotify_buddies.trainer.registry.cli import open_registry
from spotify_buddies.trainer.settings import CandidateSettings, TrainSettings

if TYPE_CHECKING:
    from spotify_buddies.trainer.evaluation.evaluate import Evaluation
    from spotify_buddies.trainer.evaluation.served.protocol import ServedResult
    from spotify_buddies.trainer.evaluation.served.ranker import OpenRanker

SECTIONS = {"train": TrainSettings, "candidates": CandidateSettings}

# Where the root command puts what opens a served bundle (`OpenRanker`), in the context's meta: trainer imports nothing
# that serves.
RANKER = "buddies.ranker"

app = typer.Typer(help="Fit and judge the ranking model.", no_args_is_help=True)


class Protocols(Enum):
    """What an evaluation asks."""

    LIKES = "likes"
    ORGANIC = "organic"
    SERVED = "served"


@app.command()
def run(
    context: typer.Context,
    dataset: Annotated[Path | None, typer.Option(help="Data set directory; default: <state>/dataset.")] = None,
    pairing: Annotated[Path | None, typer.Option(help="Pairing directory; default: <state>/pairing.")] = None,
    alias: Annotated[
        list[str] | None, typer.Option(help="Alias of the new version; repeatable.", callback=checked_aliases)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the model, write the bundle, register it as a model version. Rerun to resume after an interruption.

    Example: BUDDIES_TRAIN__EPOCHS=10 buddies train run --alias staging
    """
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.stages.stage import StageError, Writing
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.bundle import BundleError
    from spotify_buddies.trainer.evaluation.served.protocol import ServedResult
    from spotify_buddies.trainer.models.model import TrainingError
    from spotify_buddies.trainer.publish.release import train_and_release
    from spotify_buddies.trainer.publish.tracking import TrackingError
    from spotify_buddies.trainer.registry.registry import RegistryError

    settings: Settings = context.obj
    errors = (StageError, TrainingError, TrackingError, BundleError, RegistryError)
    with explained(*errors), Writing(settings.state_dir):
        release = train_and_release(
            dataset or settings.state_dir / "dataset",
            pairing or settings.state_dir / "pairing",
            settings.state_dir,
            settings.train,
            settings.registry,
            settings.candidates,
            uri=settings.mlflow_tracking_uri,
            aliases=tuple(alias or ("production",)),
            progress=Reporter(),
            open_ranker=context.meta.get(RANKER),
        )
    for warning in release.warnings:
        say(f"warning: {warning}", err=True)
    if as_json:
        body = {
            "version": release.version,
            "bundle_sha256": release.bundle_sha256,
            "run_id": release.run_id,
            "notes": list(release.notes),
            "served": {name: figures.to_json() for name, figures in release.served.items()},
            "evaluation": release.evaluation.to_json(),
        }
        say(json.dumps(body, indent=1))
        return
    _print_served(ServedResult(release.served, {}), brief=True)
    _print_beside(release.evaluation)
    for line in release.notes:
        say(line)
    say(f"\nversion {release.version}, bundle {release.bundle_dir} (sha256 {release.bundle_sha256[:12]})")


@app.command()
def evaluate(
    context: typer.Context,
    bundle: Annotated[
        Path | None, typer.Option(help="likes, served: bundle directory; default: the version behind --alias.")
    ] = None,
    alias: Annotated[str, typer.Option(help="likes, served: registry alias.")] = "production",
    dataset: Annotated[Path | None, typer.Option(help="Data set directory; default: <state>/dataset.")] = None,
    protocol: Annotated[
        Protocols,
        typer.Option(
            help="likes, organic: one held-out playlist among 50. served: among all, as requests are answered."
        ),
    ] = Protocols.LIKES,
    halves: Annotated[
        bool, typer.Option(help="served: also cut playlists in two and release a version of these, which takes longer.")
    ] = True,
    peers: Annotated[
        bool, typer.Option(help="Also train the comparison models; they are cached for later runs.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model and compare it with plain BPR, the published recipe, implicit's BPR and ALS, a tf-idf SVD, and
    untrained scorers (popularity, song overlap, chance).

    likes: rank a registered model's held-out likes among random and among hard negatives, and those of cold users.
    organic: cut every playlist of 20 or more songs into a library and a playlist that share no song, train on these,
    and rank everybody's other half among 50 others: taste that song overlap cannot see. Beside it the likes of the
    same model, and what the pairing's candidates hold of these halves.
    served: ask for held-out likes through the very candidates, rules and ranking that answer requests, over all
    playlists; and for the other half of people's own playlists through a version that is made from the halves.

    Example: buddies train evaluate --protocol served
    """
    from spotify_buddies.foundation.stages.stage import StageError, Writing
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.bundle import BundleError
    from spotify_buddies.trainer.dataset.errors import DataError
    from spotify_buddies.trainer.evaluation.organic.protocol import OrganicError
    from spotify_buddies.trainer.models.model import TrainingError
    from spotify_buddies.trainer.registry.registry import RegistryError

    settings: Settings = context.obj
    data = dataset or settings.state_dir / "dataset"
    errors = (StageError, BundleError, RegistryError, OrganicError, DataError, TrainingError)
    with explained(*errors), Writing(settings.state_dir):
        if protocol is Protocols.SERVED:
            _served(context, settings, data, bundle or _fetch(settings, alias), halves=halves, as_json=as_json)
            return
        if protocol is Protocols.ORGANIC:
            judged = _organic(settings, data, peers=peers)
        else:
            judged = _likes(context, settings, data, bundle or _fetch(settings, alias), peers=peers)
    if as_json:
        say(json.dumps(judged.body, indent=1))
        return
    if judged.served:
        _print_served(judged.served, brief=True)
    if judged.candidates:
        say("\nAll playlists, and the candidates of pairings\n")
        _print_table([["candidates of the pairing", "mean", "recall", "hit@5"], *judged.candidates], names=1)
    _print_beside(judged.evaluation)
    for name, advice in judged.left_out.items():
        say(f"{name} is left out: {advice}", err=True)


def _served(
    context: typer.Context, settings: Settings, data: Path, bundle: Path, *, halves: bool, as_json: bool
) -> None:
    """Ask the engine, and print what people get."""
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.trainer.publish.served import served_halves, served_likes

    open_ranker: OpenRanker = context.meta[RANKER]
    result = served_likes(data, bundle, open_ranker, Reporter())
    if halves:
        result |= served_halves(data, settings.state_dir / "served", settings, open_ranker, Reporter())
    if as_json:
        say(json.dumps(result.to_json(), indent=1))
        return
    _print_served(result)
    for name, why in result.left_out.items():
        say(f"{name} are left out: {why}", err=True)


def _print_served(result: ServedResult, *, brief: bool = False) -> None:
    """The tables of the result, the full figures first."""
    from spotify_buddies.trainer.evaluation.served.report import tables

    for title, lines, names in tables(result, brief=brief):
        say(f"\n{title}\n")
        _print_table(lines, names)


def _print_beside(evaluation: Evaluation) -> None:
    """The table of one playlist among 50, which says that it is one; after the full figures."""
    from spotify_buddies.trainer.evaluation.served.report import BESIDE

    say(f"\n{BESIDE}\n")
    _print_table(evaluation.table())


@dataclass(frozen=True)
class _Judged:
    """What an evaluation prints. body: its JSON. left_out: scorer -> advice.

    candidates: lines of another table. served: the same likes as requests are answered.
    """

    evaluation: Evaluation
    body: dict[str, Any]
    left_out: Mapping[str, str]
    candidates: list[list[str]] = field(default_factory=list)
    served: ServedResult | None = None


def _organic(settings: Settings, data: Path, *, peers: bool) -> _Judged:
    """Train on cut playlists and rank everybody's other half; registered versions take no part."""
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.trainer.evaluation.organic.protocol import organic

    work = settings.state_dir / "organic"
    result = organic(data, work, settings.data, settings.train, settings.pairing, peers=peers, progress=Reporter())
    lines = [row.line() for row in result.candidates]
    return _Judged(result.evaluation, result.to_json(), result.left_out, lines)


def _likes(context: typer.Context, settings: Settings, data: Path, bundle: Path, *, peers: bool) -> _Judged:
    """Rank the held-out likes of the data set that the bundle was made from."""
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.trainer.bundle import open_bundle
    from spotify_buddies.trainer.dataset.table import open_dataset
    from spotify_buddies.trainer.evaluation.evaluate import check_made_from, evaluate_bundle
    from spotify_buddies.trainer.evaluation.served.protocol import ServedResult, ask_likes
    from spotify_buddies.trainer.models.peers import Peers, train_peers

    opened = open_bundle(bundle)
    check_made_from(data, opened)
    trained = Peers({}, {})
    if peers:
        # Of the bundle's dimension: more dimensions alone would rank better.
        train = settings.train.model_copy(update={"dimension": opened.manifest.dimension})
        trained = train_peers(open_dataset(data), train, settings.state_dir / "peers", progress=Reporter())
    evaluation = evaluate_bundle(data, opened, Reporter(), peers=trained.models)
    open_ranker: OpenRanker = context.meta[RANKER]
    served = ServedResult(ask_likes(open_dataset(data), open_ranker(bundle), Reporter()), {})
    body = {"served": served.to_json()["served"], **evaluation.to_json(), "left_out": dict(trained.left_out)}
    return _Judged(evaluation, body, trained.left_out, served=served)


def _print_table(lines: list[list[str]], names: int = 2) -> None:
    """A header and its lines: `names` columns of names, then numbers."""
    from spotify_buddies.foundation.terminal.tables import table

    header, *rows = lines
    say(table(header, rows, right=range(names, len(header))))


def _fetch(settings: Settings, alias: str) -> Path:
    registry = open_registry(settings)
    return registry.fetch(registry.resolve(alias).number, settings.state_dir / "bundles")
