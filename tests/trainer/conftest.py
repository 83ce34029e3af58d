"""A small finished data set and pairing with a planted taste, and the parts of a tiny bundle."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages import stage
from spotify_buddies.pairing.result import inputs_of, load_dataset
from spotify_buddies.trainer.bundle import SKETCH_BYTES, BundleParts
from spotify_buddies.trainer.registry.mlflow_client import connect, default_uri

GENRES, USERS, PLAYLISTS, SONGS, NEGATIVES = 6, 240, 120, 360, 20


@dataclass(frozen=True)
class Planted:
    """Listener u and playlist p belong to genre u % 6 and p % 6; a listener likes playlists of the own genre."""

    dataset: Path
    pairing: Path


def _save(name: str, csr: Csr) -> Callable[[Path], dict[str, Any]]:
    return lambda directory: csr.save(directory, name) or {}


def _plant(root: Path, seed: int) -> Planted:
    rng = np.random.default_rng(seed)
    genre_songs = [np.arange(SONGS).reshape(GENRES, -1)[g] for g in range(GENRES)]
    playlists_of = [np.arange(g, PLAYLISTS, GENRES) for g in range(GENRES)]

    def draw(genre: int, count: int) -> np.ndarray:
        own = rng.choice(genre_songs[genre], count, replace=False)
        return np.unique(np.append(own, rng.integers(0, SONGS, count // 4)))

    user_songs = Csr.from_rows([draw(u % GENRES, 16) for u in range(USERS)], SONGS)
    playlist_songs = Csr.from_rows([draw(p % GENRES, 12) for p in range(PLAYLISTS)], SONGS)
    kind = np.where(np.arange(USERS) % 20 == 19, 2, 1).astype(np.uint8)
    liked = [rng.permutation(playlists_of[u % GENRES])[:10] for u in range(USERS)]
    split = np.concatenate([[0] * 7 + [1] * 2 + [2] if kind[u] == 1 else [3] * 10 for u in range(USERS)])
    triplets, rows = [], {1: [], 2: []}
    for u in np.flatnonzero(kind == 1):
        others = np.setdiff1d(np.arange(PLAYLISTS), playlists_of[u % GENRES])
        for at, playlist in enumerate(liked[u]):
            if at < 7:
                triplets += [(u, playlist, negative) for negative in rng.choice(others, 4, replace=False)]
            else:
                rows[1 if at < 9 else 2].append((u, playlist, *rng.choice(others, NEGATIVES, replace=False)))
    shuffled = rng.permutation(np.array(triplets, np.int32))
    owner = np.where(np.arange(PLAYLISTS) < 60, np.arange(PLAYLISTS), -1).astype(np.int32)
    owned = Csr.from_rows([[u] if u < 60 else [] for u in range(USERS)], PLAYLISTS)
    arrays = {1: np.array(rows[1], np.int32), 2: np.array(rows[2], np.int32)}

    dataset = root / "dataset"
    stamps: dict[str, str] = {}

    def build(
        name: str, fill: Callable[[Path], dict[str, Any] | None], statistics: dict[str, Any] | None = None
    ) -> None:
        def run(directory: Path) -> dict[str, Any]:
            fill(directory)
            return statistics or {}

        # As in a real build, every part names those before it by their fingerprints.
        stamps[name] = stage.run(dataset, name, inputs=dict(stamps), settings={}, build=run).fingerprint

    def tables(directory: Path) -> None:
        pl.DataFrame({"user_id": [f"user-{u}" for u in range(USERS)]}).write_parquet(directory / "users.parquet")
        pl.DataFrame(
            {
                "playlist_id": [f"playlist-{p}" for p in range(PLAYLISTS)],
                "title": [None if p == 3 else f"Mix №{p}" for p in range(PLAYLISTS)],
                "followers": [1] * PLAYLISTS,
                "owner_id": [None] * PLAYLISTS,
            },
            schema_overrides={"owner_id": pl.String},
        ).write_parquet(directory / "playlists.parquet")
        names = {"title": [f"Song {s}" for s in range(SONGS)], "artist": [f"Artist {s % 40}" for s in range(SONGS)]}
        pl.DataFrame(names).write_parquet(directory / "songs.parquet")
        ids = {"song_id": [f"SO{s}" for s in range(SONGS)], "song_row": np.arange(SONGS, dtype=np.int32)}
        pl.DataFrame(ids).write_parquet(directory / "song_ids.parquet")

    def matrices(directory: Path) -> None:
        user_songs.save(directory, "user_songs")
        playlist_songs.save(directory, "playlist_songs")

    def likes(directory: Path) -> None:
        scores = np.tile(np.linspace(0.5, 0.1, 10, dtype=np.float32), USERS)
        plain = Csr.from_rows(liked, PLAYLISTS)
        Csr(plain.indptr, plain.indices, PLAYLISTS, scores).save(directory, "liked")

    def splits(directory: Path) -> None:
        np.save(directory / "user_kind.npy", kind)
        np.save(directory / "split.npy", split.astype(np.uint8))
        np.save(directory / "playlist_kept.npy", np.ones(PLAYLISTS, np.bool_))

    def owners(directory: Path) -> None:
        np.save(directory / "owner.npy", owner)
        owned.save(directory, "owned")

    def samples(directory: Path) -> None:
        np.save(directory / "triplets.npy", shuffled)
        np.save(directory / "triplets-toy.npy", shuffled[:600])

    def batches(directory: Path) -> None:
        np.save(directory / "random.npy", arrays[1])
        np.save(directory / "hard.npy", arrays[1][::2])
        np.save(directory / "test-random.npy", arrays[2])
        np.save(directory / "test-hard.npy", arrays[2][:0])

    build("1-raw", lambda directory: None)
    build("2-songs", tables, {"matching": "plain"})
    build("3-matrix", matrices)
    build("4-score", lambda directory: None)
    build("5-liked", likes)
    build("6-split", splits)
    build("7-own", owners)
    build("8-triplets", samples)
    build("9-validation", batches)
    return Planted(dataset, _pair(root / "pairing", dataset, user_songs, owned))


def _pair(parent: Path, dataset: Path, user_songs: Csr, owned: Csr) -> Path:
    songs = user_songs.to_scipy()
    norms = np.sqrt(user_songs.counts.astype(np.float32))
    cosine = (songs @ songs.T).toarray() / norms[:, None] / norms
    np.fill_diagonal(cosine, -1)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :30]
    plain = Csr.from_rows(list(order), USERS)
    nearest = Csr(plain.indptr, plain.indices, USERS, np.take_along_axis(cosine, order, 1).ravel().astype(np.float32))
    candidates = Csr.from_rows(
        [np.unique([p for v in order[u] for p in owned.row(v)]).astype(np.int32) for u in range(USERS)], PLAYLISTS
    )

    def index(directory: Path) -> dict[str, Any]:
        (directory / "vectors.bin").write_bytes(bytes(range(256)))
        return {}

    inputs = inputs_of(load_dataset(dataset))
    near = stage.run(parent, "nearest", inputs=inputs["nearest"], settings={}, build=_save("nearest", nearest))
    chosen = {**inputs["candidates"], "nearest": near.fingerprint}
    stage.run(parent, "candidates", inputs=chosen, settings={}, build=_save("candidates", candidates))
    stage.run(parent, "index", inputs=inputs["index"], settings={}, build=index)
    return parent


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return _plant(tmp_path_factory.mktemp("planted"), seed=1)


@pytest.fixture(scope="session")
def planted_anew(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """The same sizes from another seed: another data set, whose rows are other people and playlists."""
    return _plant(tmp_path_factory.mktemp("planted-anew"), seed=2)


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
