"""From a data set and its pairing to a registered model version: train, evaluate, bundle, register."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.foundation.stages.stage import Stamp
from spotify_buddies.pairing.result import CANDIDATES, INDEX, load_pairing
from spotify_buddies.trainer.bundle import Bundle, BundleError, BundleParts, SongFactors, open_bundle, write_bundle
from spotify_buddies.trainer.dataset.table import Dataset, open_dataset
from spotify_buddies.trainer.evaluation.baselines import most_popular
from spotify_buddies.trainer.evaluation.evaluate import Evaluation, evaluate
from spotify_buddies.trainer.models import checkpoint
from spotify_buddies.trainer.models.backend import recipe
from spotify_buddies.trainer.models.drawn import open_source
from spotify_buddies.trainer.models.fit import fit
from spotify_buddies.trainer.models.hybrid.backend import taste_dimensions
from spotify_buddies.trainer.models.model import EpochReport, Model
from spotify_buddies.trainer.models.train import reports, training_key
from spotify_buddies.trainer.publish.genres import Tastes, find_genres
from spotify_buddies.trainer.publish.sketches import sketch
from spotify_buddies.trainer.publish.song_factors import song_factors
from spotify_buddies.trainer.publish.tracking import Run, artifact_location, track, tracking_uri
from spotify_buddies.trainer.registry.registry import Registry
from spotify_buddies.trainer.settings import RegistrySettings, TrainSettings

Array = npt.NDArray[Any]

RunType = Literal["full", "toy"]

_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Release:
    """What `buddies train run` made. version: number in the registry; bundle_dir: the bundle on this machine."""

    version: str
    bundle_dir: Path
    bundle_sha256: str
    evaluation: Evaluation
    run_id: str


def train_and_release(
    dataset: Path,
    pairing: Path,
    state_dir: Path,
    settings: TrainSettings | None = None,
    registry: RegistrySettings | None = None,
    *,
    uri: str | None = None,
    run_type: RunType = "full",
    aliases: Sequence[str] = ("production",),
    progress: Progress = silent,
    on_epoch: Callable[[EpochReport], None] = lambda _: None,
) -> Release:
    """Train on a finished data set and pairing, and make the result a registered version with these aliases.

    All lies under state_dir/train and state_dir/mlflow, unless `uri` or MLFLOW_TRACKING_URI names another MLflow.
    Repeating the call goes on where it stopped; with nothing changed it gives the same version. The same inputs,
    settings and seed give the same bundle sha256 on one thread. run_type "toy" trains on the toy triplets.

    The run's artifacts hold the bundle and no checkpoints: the bundle has the best epoch's factors, which is all that
    serving and evaluation need of them, and checkpoints, with the optimiser's state, are for going on after an
    interruption on this machine, where they stay under state_dir/train/checkpoints.

    StageError: an input is not finished, or the pairing is that of another data set. TrainingError, TrackingError,
    RegistryError, BundleError as in their modules.
    """
    data = open_dataset(dataset)
    work = _Work(
        data=data,
        pairing=pairing,
        paired=load_pairing(pairing, dataset),
        home=state_dir / "train",
        settings=settings or TrainSettings(),
        run_type=run_type,
    )
    registry = registry or RegistrySettings()
    address = tracking_uri(state_dir, uri)
    with _tracked(work, registry, address, artifact_location(address, state_dir)) as run:
        model = _fit(work, run, progress, on_epoch)
        candidates = Csr.load(pairing / CANDIDATES, "candidates")
        evaluation = evaluate(dataset, model, candidates, progress)
        parts = bundle_parts(
            data,
            pairing,
            candidates,
            model,
            training=_facts(work),
            metrics=evaluation.version_metrics(),
            taste=_taste(work.settings),
            songs=_song_factors(work, progress),
            progress=progress,
        )
        bundle = _bundle(work.home / "bundle", parts)
        _record(run, evaluation, bundle)
        number = Registry(address, registry.model).register(bundle.directory, run.run_id, aliases=aliases)
        run.tags({"version": number})
    return Release(number, bundle.directory, bundle.sha256, evaluation, run.run_id)


@dataclass(frozen=True)
class _Work:
    data: Dataset
    pairing: Path
    paired: Mapping[str, Stamp]
    home: Path
    settings: TrainSettings
    run_type: RunType

    @cached_property
    def key(self) -> str:
        """Computed once. The data set's fingerprint is of its last stage, whose stamp covers all before it."""
        return training_key(f"{self.data.fingerprint}/{self.run_type}", self.settings)


@contextmanager
def _tracked(work: _Work, registry: RegistrySettings, address: str, artifacts: str | None) -> Iterator[Run]:
    settings = work.settings.model_dump(mode="json")
    triplets = open_source(work.data, work.settings, toy=work.run_type == "toy")
    sizes = {"triplets": len(triplets), "users": work.data.users, "playlists": work.data.playlists}
    tags = {"mode": "train", "run_type": work.run_type, "dataset_fingerprint": work.data.fingerprint, **_code_version()}
    work.home.mkdir(parents=True, exist_ok=True)
    with track(
        address,
        registry.experiment,
        name=f"bpr-{work.run_type}-{work.key[:8]}",
        parameters=settings | asdict(recipe(work.settings)) | sizes,
        tags=tags,
        artifacts=artifacts,
        resume=_run_to_resume(work.home, work.key),
    ) as run:
        _remember_run(work.home, work.key, run.run_id)
        run.document("config.json", {"train": settings, "registry": registry.model_dump(mode="json")})
        yield run


def _fit(work: _Work, run: Run, progress: Progress, on_epoch: Callable[[EpochReport], None]) -> Model:
    def note(report: EpochReport) -> None:
        run.metrics({"train/loss": report.loss, **report.metrics}, report.epoch)
        on_epoch(report)

    return fit(
        work.data,
        work.settings,
        work.home / _CHECKPOINTS,
        key=work.key,
        toy=work.run_type == "toy",
        on_epoch=note,
        progress=progress,
    )


def _facts(work: _Work) -> dict[str, Any]:
    """What the manifest says of the training: values that are the same on every run of the same work."""
    epochs = reports(work.home / _CHECKPOINTS, work.key)
    best = [report for report in epochs if report.best][-1]
    return {
        "settings": work.settings.model_dump(mode="json"),
        "recipe": asdict(recipe(work.settings)),
        "run_type": work.run_type,
        "epochs": len(epochs),
        "best_epoch": best.epoch,
        "best_loss": round(best.loss, 6),
        "pairing": {name: stamp.fingerprint for name, stamp in work.paired.items()},
    }


def bundle_parts(
    data: Dataset,
    pairing: Path,
    candidates: Csr,
    model: Model,
    *,
    training: Mapping[str, Any],
    metrics: Mapping[str, float],
    taste: int | None = None,
    songs: SongFactors | None = None,
    progress: Progress = silent,
) -> BundleParts:
    """What a bundle of a model of this data set and pairing holds. training, metrics: for people, JSON values.

    taste: how many of the first dimensions hold the taste, in which genres are found; None: all of them. songs: what
    the hybrid model learned of them.
    """
    likes = data.count_train_likes()
    genres = find_genres(
        Tastes(data.playlist_songs, model.playlist_factors[:, :taste]),
        Tastes(data.user_songs, model.user_factors[:, :taste]),
        likes,
        seed=0,
    )
    popular = most_popular(likes)
    ids, names, playlists = data.song_id_table, data.song_table, data.playlist_table
    return BundleParts(
        user_factors=model.user_factors,
        playlist_factors=model.playlist_factors,
        candidates=candidates,
        user_songs=data.user_songs,
        owned=data.owned,
        owner=data.owner,
        popular=popular,
        popular_scores=likes[popular],
        sketches=sketch(data.playlist_songs, progress),
        song_genres=genres.songs,
        genre_popular=genres.popular,
        user_ids=data.user_table["user_id"].to_list(),
        playlist_ids=playlists["playlist_id"].to_list(),
        playlist_titles=playlists["title"].fill_null("").to_list(),
        song_titles=names["title"].fill_null("").to_list(),
        song_artists=names["artist"].fill_null("").to_list(),
        song_ids=ids["song_id"].to_list(),
        song_id_rows=ids["song_row"].to_numpy(),
        index=pairing / INDEX,
        matching="full" if data.matching == "full" else "plain",
        dataset_fingerprint=data.fingerprint,
        training=training,
        metrics=metrics,
        song_factors=songs,
    )


def _taste(settings: TrainSettings) -> int | None:
    """The first dimensions that hold the taste; all where the model has none of its own, or gives it none."""
    return (taste_dimensions(settings) if settings.model == "hybrid" else 0) or None


def _song_factors(work: _Work, progress: Progress) -> SongFactors | None:
    """What the finished training learned of songs; None where the model has no factors of songs."""
    directory = work.home / _CHECKPOINTS
    done = checkpoint.read(directory, work.key)
    if work.settings.model != "hybrid" or done is None:
        return None
    learned = checkpoint.load(directory, work.key, done.best.epoch, ("songs", "artists"))
    return song_factors(work.data, work.settings, learned, progress)


def _bundle(directory: Path, parts: BundleParts) -> Bundle:
    """Write the bundle under a name that starts its sha256; an equal one that is there already stays as it is."""
    staged = write_bundle(directory / "new", parts)
    target = directory / staged.sha256[:12]
    try:
        open_bundle(target)
    except BundleError:
        shutil.rmtree(target, ignore_errors=True)
        staged.directory.replace(target)
    for other in directory.iterdir():
        if other != target:
            shutil.rmtree(other)
    return open_bundle(target, check_hashes=False)


def _record(run: Run, evaluation: Evaluation, bundle: Bundle) -> None:
    run.document("evaluation.json", evaluation.to_json())
    run.file(bundle.directory / "manifest.json")
    run.metrics({f"final/{name}": value for name, value in evaluation.metrics().items()}, 0)
    run.tags({"bundle_sha256": bundle.sha256})


def _run_to_resume(home: Path, key: str) -> str | None:
    path = home / "run.json"
    if not path.exists():
        return None
    try:
        body = json.loads(path.read_bytes())
        return str(body["run_id"]) if body["key"] == key else None
    except (ValueError, KeyError, TypeError):  # a broken note costs nothing but a new run
        return None


def _remember_run(home: Path, key: str, run_id: str) -> None:
    partial = home / "run.partial"
    partial.write_text(json.dumps({"key": key, "run_id": run_id}), encoding="utf-8")
    partial.replace(home / "run.json")


def _code_version() -> dict[str, str]:
    """The installed release, and a hash of the training code, which tells apart two states of one release."""
    try:
        release = version("spotify-buddies")
    except PackageNotFoundError:
        release = "unknown"
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return {"code_version": release, "code_sha256": digest.hexdigest()[:16]}
