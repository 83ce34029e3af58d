"""Versions that answer differently from each other, as bundles over one index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.trainer.bundle import open_bundle, write_bundle
from spotify_buddies.trainer.publish.tracking import track
from spotify_buddies.trainer.registry.mlflow_client import artifact_location, default_uri
from spotify_buddies.trainer.registry.registry import Registry
from tests.serve_app.bundles import DIMENSION, USERS, parts

USER_IDS = [f"user-{row}" for row in range(USERS)]


@pytest.fixture(scope="session")
def versions(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles by version; in each of them users have other factors."""
    made = {"1": bundle_dir}
    directory = tmp_path_factory.mktemp("versions")
    for version in ("2", "3"):
        factors = np.random.default_rng(int(version)).normal(size=(USERS, DIMENSION)).astype(np.float32)
        written = replace(parts(bundle_dir.parent / "index"), user_factors=factors)
        made[version] = write_bundle(directory / version, written).directory
    return made


@pytest.fixture
def answers(versions: dict[str, Path]) -> Callable[..., Answers]:
    """Answers of a version, without stores unless given."""

    def make(version: str, **given: Any) -> Answers:
        engine = Engine(open_bundle(versions[version], check_hashes=False), version)
        fields: dict[str, Any] = {"budgets": Budgets(5.0, 5.0), "daily": None, "history": None, "telemetry": Silent()}
        return Answers(engine, **{**fields, **given})

    return make


def lists(data: bytes) -> list[tuple[Any, ...]]:
    """What an answer says, but for the ids that are drawn."""
    return [
        (r.user_id, r.model_version, r.arm, [(p.playlist_id, p.score) for p in r.playlists], r.source, r.error.field)
        for r in pb.RecommendResponse.FromString(data).recommendations
    ]


@pytest.fixture(scope="session")
def registry(versions: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A real registry with the versions under their numbers, production first."""
    state = tmp_path_factory.mktemp("registry")
    (state / "mlflow").mkdir()
    uri = default_uri(state)
    made = Registry(uri, "m")
    for version, directory in versions.items():
        with track(uri, "buddies", name="r", parameters={}, tags={}, artifacts=artifact_location(uri, state)) as run:
            assert made.register(directory, run.run_id, aliases=("production",) if version == "1" else ()) == version
    return made
