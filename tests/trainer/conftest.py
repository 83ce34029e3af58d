"""The planted data set, another one, the parts of a tiny bundle, and an MLflow database."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import SKETCH_BYTES, BundleParts
from spotify_buddies.trainer.registry.mlflow_client import connect, default_uri
from tests.trainer.planted import Planted, plant


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant(tmp_path_factory.mktemp("planted"), seed=1)


@pytest.fixture(scope="session")
def planted_anew(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """The same sizes from another seed: another data set, whose rows are other people and playlists."""
    return plant(tmp_path_factory.mktemp("planted-anew"), seed=2)


@pytest.fixture
def bundle_parts(tmp_path: Path) -> BundleParts:
    """Three users, two playlists, four songs."""
    index = tmp_path / "index"
    index.mkdir()
    (index / "vectors.bin").write_bytes(b"0123456789")
    (index / "stage.json").write_text("{}")
    return BundleParts(
        user_factors=np.array([[1, 0], [0, 1], [1, 1]], np.float32),
        playlist_factors=np.array([[1, 2], [3, 4]], np.float32),
        candidates=Csr.from_rows([[0, 1], [1], []], 2),
        user_songs=Csr.from_rows([[0, 1], [1, 2], [1]], 4),
        owned=Csr.from_rows([[], [0], []], 2),
        owner=np.array([1, -1], np.int32),
        popular=np.array([1, 0], np.int32),
        popular_scores=np.array([5, 2], np.float32),
        sketches=np.arange(2 * SKETCH_BYTES, dtype=np.uint8).reshape(2, SKETCH_BYTES),
        song_genres=np.array([1, 0, -1, 1], np.int16),
        genre_popular=Csr(np.array([0, 0, 2]), np.array([1, 0], np.int32), 2, np.array([5, 2], np.float32)),
        user_ids=["ann", "bob", "zoë"],
        playlist_ids=["p1", "p2"],
        playlist_titles=["Morning", ""],
        song_titles=["One", "Two", "Three", " ONE "],
        song_artists=["A", "B", "C", "a"],
        song_ids=["SO1", "SO2", "SO2b"],
        song_id_rows=np.array([0, 1, 1], np.int32),
        index=index,
        matching="plain",
        dataset_fingerprint="f" * 64,
        training={"seed": 1},
        metrics={"random/mrr": 0.5},
    )


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken and not listened on: connections are refused, and nobody else can open it meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs; making one takes seconds, copying it nothing."""
    state = tmp_path_factory.mktemp("empty")
    assert connect(default_uri(state)).search_experiments()
    return state / "mlflow" / "mlflow.db"


@pytest.fixture
def mlflow_state(empty_database: Path, tmp_path: Path) -> Path:
    """A state directory with an MLflow database of its own."""
    (tmp_path / "mlflow").mkdir()
    shutil.copy(empty_database, tmp_path / "mlflow" / "mlflow.db")
    return tmp_path
