"""The MLflow run of a training: settings, sizes and code as inputs, evaluation and bundle as results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.evaluation.evaluate import Evaluation
from spotify_buddies.trainer.models.backends import recipe
from spotify_buddies.trainer.models.drawn import open_source
from spotify_buddies.trainer.publish.tracking import Run, track
from spotify_buddies.trainer.publish.work import Work
from spotify_buddies.trainer.registry.worth import SERVED
from spotify_buddies.trainer.settings import RegistrySettings


@contextmanager
def recorded(work: Work, registry: RegistrySettings, address: str, artifacts: str | None) -> Iterator[Run]:
    """An MLflow run of this training; the one that an interruption left open, where there is one."""
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


def record_result(run: Run, evaluation: Evaluation, bundle: Bundle) -> None:
    """Store the results: the evaluation, the manifest, the hash of the bundle."""
    run.document("evaluation.json", evaluation.to_json())
    run.file(bundle.directory / "manifest.json")
    served = {name: value for name, value in bundle.manifest.metrics.items() if name.startswith(SERVED)}
    run.metrics({f"final/{name}": value for name, value in {**evaluation.metrics(), **served}.items()}, 0)
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
