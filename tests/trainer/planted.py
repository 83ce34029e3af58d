"""A small finished data set and pairing with a planted taste."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages import stage
from spotify_buddies.pairing.result import inputs_of, load_dataset

GENRES, USERS, PLAYLISTS, SONGS, NEGATIVES = 6, 240, 120, 360, 20


@dataclass(frozen=True)
class Planted:
    """User u and playlist p belong to genre u % 6 and p % 6; a user likes playlists of that genre."""

    dataset: Path
    pairing: Path


def _save(name: str, csr: Csr) -> Callable[[Path], dict[str, Any]]:
    return lambda directory: csr.save(directory, name) or {}


def plant(root: Path, seed: int) -> Planted:
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
        for rank, playlist in enumerate(liked[u]):
            if rank < 7:
                triplets += [(u, playlist, negative) for negative in rng.choice(others, 4, replace=False)]
            else:
                rows[1 if rank < 9 else 2].append((u, playlist, *rng.choice(others, NEGATIVES, replace=False)))
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
