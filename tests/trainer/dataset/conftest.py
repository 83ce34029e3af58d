"""Small data sets: raw files in the real formats, and the stages run over matrices given in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import silent
from spotify_buddies.trainer.dataset.labels.ownership import assign_owners
from spotify_buddies.trainer.dataset.labels.split import split_users
from spotify_buddies.trainer.dataset.negatives.triplets import write_triplets
from spotify_buddies.trainer.dataset.negatives.validation import write_batches
from spotify_buddies.trainer.dataset.scoring import score_users, take_liked
from spotify_buddies.trainer.dataset.table import STAGES
from spotify_buddies.trainer.settings import DataSettings
from tests.trainer.dataset.builds import build


@dataclass
class SmallDataset:
    """Everything that parts 4 to 9 made of two matrices."""

    directories: dict[str, Path]
    user_songs: Csr
    playlist_songs: Csr
    named_owner: np.ndarray
    beta: np.ndarray
    liked: Csr
    split: np.ndarray
    kind: np.ndarray
    kept: np.ndarray
    owner: np.ndarray
    owned: Csr
    triplets: np.ndarray
    toy: np.ndarray
    batches: dict[str, np.ndarray]
    statistics: dict[str, dict[str, Any]]

    def likes(self, user: int, *parts: int) -> set[int]:
        first, last = self.liked.indptr[user], self.liked.indptr[user + 1]
        return {
            int(j)
            for j, part in zip(self.liked.indices[first:last], self.split[first:last], strict=True)
            if part in parts
        }

    def files(self) -> dict[str, bytes]:
        return {
            f"{path.parent.name}/{path.name}": path.read_bytes()
            for directory in self.directories.values()
            for path in sorted(directory.iterdir())
        }


Rows = Sequence[Sequence[int]]


@pytest.fixture(scope="session")
def make_dataset(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SmallDataset]:
    def build(
        users: Rows, playlists: Rows, songs: int, named: Sequence[int] | None = None, **settings: Any
    ) -> SmallDataset:
        root = tmp_path_factory.mktemp("dataset")
        directories = {name: root / name for name in STAGES}
        for path in directories.values():
            path.mkdir()
        user_songs, playlist_songs = Csr.from_rows(list(users), songs), Csr.from_rows(list(playlists), songs)
        user_songs.save(directories["3-matrix"], "user_songs")
        playlist_songs.save(directories["3-matrix"], "playlist_songs")
        owner = np.array(named if named is not None else [-1] * len(playlists), np.int32)
        np.save(directories["2-songs"] / "named_owner.npy", owner)
        return run(directories, DataSettings(**settings))

    def run(directories: dict[str, Path], settings: DataSettings) -> SmallDataset:
        matrix, songs = directories["3-matrix"], directories["2-songs"]
        statistics = {
            "4-score": score_users(directories["4-score"], matrix, songs, settings, silent),
            "5-liked": take_liked(directories["5-liked"], directories["4-score"]),
            "6-split": split_users(directories["6-split"], directories["5-liked"], songs, settings),
            "7-own": assign_owners(directories["7-own"], directories, settings, silent),
            "8-triplets": write_triplets(directories["8-triplets"], directories, settings, silent),
            "9-validation": write_batches(directories["9-validation"], directories, settings, silent),
        }
        return SmallDataset(
            directories=directories,
            user_songs=Csr.load(matrix, "user_songs"),
            playlist_songs=Csr.load(matrix, "playlist_songs"),
            named_owner=np.load(songs / "named_owner.npy"),
            beta=np.load(directories["4-score"] / "beta.npy"),
            liked=Csr.load(directories["5-liked"], "liked"),
            split=np.load(directories["6-split"] / "split.npy"),
            kind=np.load(directories["6-split"] / "user_kind.npy"),
            kept=np.load(directories["6-split"] / "playlist_kept.npy"),
            owner=np.load(directories["7-own"] / "owner.npy"),
            owned=Csr.load(directories["7-own"], "owned"),
            triplets=np.load(directories["8-triplets"] / "triplets.npy"),
            toy=np.load(directories["8-triplets"] / "triplets-toy.npy"),
            batches={
                name: np.load(directories["9-validation"] / f"{name}.npy")
                for name in ("random", "hard", "test-random", "test-hard")
            },
            statistics=statistics,
        )

    return build


@pytest.fixture(scope="session")
def random_dataset(make_dataset: Callable[..., SmallDataset]) -> Callable[..., SmallDataset]:
    """A data set drawn from a seed, dense enough that users have some likes."""

    def build(seed: int, users: int = 40, playlists: int = 60, songs: int = 80, **settings: Any) -> SmallDataset:
        rng = np.random.default_rng(seed)

        def rows(count: int, most: int) -> list[list[int]]:
            sizes = rng.integers(0, most, count)
            return [sorted(rng.choice(songs, size, replace=False).tolist()) for size in sizes]

        defaults = {"liked_share": 0.2, "validation_negatives": 5, "owned_max": 3, "cold_users": 0.1}
        return make_dataset(rows(users, 20), rows(playlists, 15), songs, **{**defaults, **settings})

    return build


def track(title: str, artist: str) -> dict[str, Any]:
    return {
        "track_uri": f"spotify:track:{title}",
        "track_name": title,
        "artist_name": artist,
        "album_name": "",
        "pos": 0,
    }


@pytest.fixture
def raw_files(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder of raw files; each argument replaces one of them, None leaves it out."""

    def write(seed: int = 0, users: int = 30, playlists: int = 40, songs: int = 60, folder: str = "raw") -> Path:
        rng = np.random.default_rng(seed)
        directory = tmp_path / folder
        directory.mkdir()
        for first in range(0, playlists, 20):
            body = {"info": {}, "playlists": [_playlist(rng, pid, songs) for pid in range(first, first + 20)]}
            (directory / f"mpd.slice.{first}-{first + 19}.json").write_text(json.dumps(body))
        listens = [
            f"user{user:02}\tSO{song:03}\t{rng.integers(1, 9)}\n"
            for user in range(users)
            for song in rng.choice(songs, rng.integers(1, 15), replace=False)
        ]
        (directory / "train_triplets.txt").write_text("".join(listens))
        names = "".join(
            f"TR{song:03}<SEP>SO{song:03}<SEP>artist {song % 7}<SEP>Title {song}\n" for song in range(songs)
        )
        (directory / "unique_tracks.txt").write_text(names)
        return directory

    return write


def _playlist(rng: np.random.Generator, pid: int, songs: int) -> dict[str, Any]:
    chosen = rng.choice(songs, rng.integers(1, 12), replace=False).tolist()
    tracks = [track(f" title {song}", f"Artist {song % 7} ") for song in chosen]
    return {"pid": pid, "name": f"list {pid}", "num_followers": 1, "modified_at": 1, "tracks": tracks}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """One build per content of the raw folder, shared by all tests."""
    done: dict[str, Path] = {}

    def get(raw: Path) -> Path:
        key = str(sorted((path.name, path.read_bytes()) for path in raw.iterdir()))
        if key not in done:
            done[key] = tmp_path_factory.mktemp("built") / "dataset"
            build(raw, done[key])
        return done[key]

    return get
