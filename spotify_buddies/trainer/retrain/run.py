"""A retraining: feedback of a window to a version that is `staging`, or to the reason why it is not.

Each step is finished or starts over, and a finished one is kept: a killed retraining goes on where it was, and one that
has ended says again what it said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.foundation.stages.stage import Writing
from spotify_buddies.pairing.build import build_pairing
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.bundle import Bundle, open_bundle
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.erased import Erased
from spotify_buddies.trainer.dataset.kernels import group
from spotify_buddies.trainer.dataset.reading.sources import Sources, with_feedback
from spotify_buddies.trainer.dataset.table import SIMULATED, Dataset, open_dataset
from spotify_buddies.trainer.evaluation.served.ranker import OpenRanker
from spotify_buddies.trainer.models.warm.local import Looks
from spotify_buddies.trainer.models.warm.rows import rows_of_ids
from spotify_buddies.trainer.models.warm.warm import Warm
from spotify_buddies.trainer.publish.release import Release, train_and_release
from spotify_buddies.trainer.publish.tracking import tracking_uri
from spotify_buddies.trainer.registry.production import serving_version
from spotify_buddies.trainer.registry.registry import Registry, RegistryError
from spotify_buddies.trainer.registry.versions import JUDGED_TAG, KEPT_TAG, VersionInfo
from spotify_buddies.trainer.registry.worth import beneath
from spotify_buddies.trainer.retrain.extract import BLOCKS, FILES, LOOKS, Extract
from spotify_buddies.trainer.retrain.judge import Judged, Judgement, judge
from spotify_buddies.trainer.retrain.rules import TRAIN, VALIDATION
from spotify_buddies.trainer.settings import (
    CandidateSettings,
    DataSettings,
    RegistrySettings,
    RetrainSettings,
    TrainSettings,
)

OUTCOME, STAGING = "outcome.json", "staging"
REGISTERED, KEPT = "registered", "kept"


@dataclass(frozen=True)
class Sections:
    """The settings of everything that a retraining does."""

    data: DataSettings
    train: TrainSettings
    candidates: CandidateSettings
    registry: RegistrySettings
    pairing: PairingSettings
    retrain: RetrainSettings


@dataclass(frozen=True)
class Place:
    """Where a retraining works. state_dir: where MLflow is, unless uri names another. home: its own directory."""

    state_dir: Path
    home: Path
    standing: Path
    uri: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a retraining ended. body: JSON values, see docs/retraining.md. again: it had ended before."""

    body: Mapping[str, Any]
    again: bool = False


def retrain(
    sources: Sources,
    extract: Extract,
    place: Place,
    sections: Sections,
    open_ranker: OpenRanker,
    progress: Progress = silent,
    erased: Erased | None = None,
) -> Outcome:
    """Make a data set of the raw files and the extract, train from the version that serves, judge, and set the alias.

    erased: listeners of whom the new version knows nothing. The version is registered in any case, without an alias
    where something speaks against it, which a tag then says. The same extract, serving version and settings give the
    same outcome without new work. StageError, DataError, TrainingError, TrackingError, BundleError, RegistryError: what
    stopped it; the next call goes on.
    """
    registry = Registry(tracking_uri(place.state_dir, place.uri), sections.registry.model)
    serving = serving_version(registry)
    if serving is None:
        raise RegistryError("no version serves yet, so there is nothing to go on from; run `buddies train run` first")
    data = _dataset(with_feedback(sources, extract.directory), place.home, sections, progress, erased)
    looks = partial(_looks, extract, data)
    standing = open_dataset(place.standing)
    key = _key((data, standing), extract, serving, sections)
    if (ended := _ended(place.home, key)) is not None:
        return Outcome(ended, again=True)
    bundle = open_bundle(registry.fetch(serving.number, place.home / "serving"))
    release = train_and_release(
        data.directory,
        place.home / "pairing",
        place.home,
        sections.train,
        sections.registry,
        sections.candidates,
        uri=registry.uri,
        aliases=(),
        progress=progress,
        open_ranker=open_ranker,
        warm=_warm(Warm(bundle, seen=looks(TRAIN), since=looks(TRAIN, VALIDATION)), standing, sections.retrain),
    )
    judgement = _judge(data, standing, extract, bundle, release, open_ranker, sections.retrain)
    against = (*judgement.against, *beneath(registry.get(release.version)))
    registry.tag(release.version, {JUDGED_TAG: serving.number, KEPT_TAG: "; ".join(against)})
    if not against:
        registry.set_alias(STAGING, release.version)
    body = {
        "outcome": KEPT if against else REGISTERED,
        "version": release.version,
        "serving": serving.number,
        "from": extract.manifest["from"],
        "until": extract.manifest["until"],
        "blocks": extract.manifest["blocks"],
        "against": list(against),
        "notes": list(release.notes),
        "judgement": judgement.to_json(),
    }
    return Outcome(_note(place.home, key, body))


def _dataset(sources: Sources, home: Path, sections: Sections, progress: Progress, erased: Erased | None) -> Dataset:
    build_dataset(sources, home / "dataset", sections.data, erased=erased, progress=progress)
    build_pairing(home / "dataset", home / "pairing", sections.pairing, progress=progress)
    return open_dataset(home / "dataset")


def _warm(alone: Warm, standing: Dataset, settings: RetrainSettings) -> tuple[Warm, ...]:
    """One for each weight; feedback alone where the standing data set holds real follows, which are in the new one."""
    if standing.labels != SIMULATED or not settings.weights:
        return (alone,)
    return tuple(replace(alone, implicit=standing, weight=weight) for weight in settings.weights)


def _looks(extract: Extract, data: Dataset, *parts: str) -> Looks:
    """What people looked at in parts of the split, by the rows of the data set, without people it does not know."""
    table = pl.read_parquet(extract.directory / LOOKS).filter(pl.col("split").is_in(parts))
    table = table.group_by("user_id", "playlist_id", maintain_order=True).agg(pl.col("looks", "likes").sum())
    users = rows_of_ids(table["user_id"].to_list(), data.user_table["user_id"].to_list())
    playlists = rows_of_ids(table["playlist_id"].to_list(), data.playlist_table["playlist_id"].to_list())
    kept = np.flatnonzero((users >= 0) & (playlists >= 0))
    kept = kept[np.lexsort((playlists[kept], users[kept]))]
    indptr, indices = group(users[kept], playlists[kept], data.users)
    looks, likes = (table[name].to_numpy()[kept].astype(np.float32) for name in ("looks", "likes"))
    return Looks(Csr(indptr, indices, data.playlists, looks), likes)


def _judge(
    data: Dataset,
    standing: Dataset,
    extract: Extract,
    serving: Bundle,
    release: Release,
    open_ranker: OpenRanker,
    settings: RetrainSettings,
) -> Judgement:
    blocks = pl.read_parquet(extract.directory / BLOCKS)
    new = open_bundle(release.bundle_dir, check_hashes=False)
    return judge(Judged(data, standing, blocks, new, serving, open_ranker), settings)


def _key(data: tuple[Dataset, Dataset], extract: Extract, serving: VersionInfo, sections: Sections) -> str:
    """Names all that an outcome depends on. data: the new set and the standing one.

    The new set holds the likes and dislikes alone: what people looked at is blended, and blocks are judged by.
    """
    parts = {
        "data": [one.fingerprint for one in data],
        "extract": {name: extract.manifest["files"][name]["sha256"] for name in FILES},
        "serving": serving.bundle_sha256,
        "settings": {name: value.model_dump(mode="json") for name, value in vars(sections).items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _ended(home: Path, key: str) -> dict[str, Any] | None:
    try:
        body = json.loads((home / OUTCOME).read_bytes())
        return dict(body["body"]) if body["key"] == key else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # a broken note costs the judgement again, and no training
        return None


def _note(home: Path, key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Remember how it ended; the body as it will be read again."""
    partial = home / f".{OUTCOME}"
    with Writing(home):
        partial.write_text(json.dumps({"key": key, "body": body}, indent=1) + "\n", encoding="utf-8")
        partial.replace(home / OUTCOME)
    return dict(json.loads(json.dumps(body)))
