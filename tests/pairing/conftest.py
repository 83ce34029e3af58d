"""Small worlds for the tests of pairing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages import stage

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "sample" / "taste_profile" / "train_triplets.txt"


def csr(rows: list[list[int]], columns: int) -> Csr:
    return Csr.from_rows(rows, columns)


def entries(matrix: Csr) -> list[list[int]]:
    return [matrix.row(i).tolist() for i in range(matrix.rows)]


def same(a: Csr, b: Csr) -> bool:
    arrays = [np.array_equal(getattr(a, name), getattr(b, name)) for name in ("indptr", "indices", "values")]
    return all(arrays) and a.columns == b.columns


def clustered(users: int, songs: int, clusters: int, *, seed: int) -> Csr:
    """Users who take most songs from one cluster and some from anywhere, popular songs more often."""
    rng = np.random.default_rng(seed)
    width = songs // clusters
    rows = []
    for _ in range(users):
        size = int(rng.integers(8, 60))
        home = int(rng.integers(clusters)) * width
        near = home + np.floor(width * rng.random(size) ** 2).astype(int)
        far = np.floor(songs * rng.random(size // 4 + 1)).astype(int)
        rows.append(np.unique(np.concatenate([near, far])).tolist())
    return csr(rows, songs)


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """A data set folder that holds the stages which pairing reads; without `kind` everybody is warm."""

    def make(user_songs: Csr, owned: Csr, kind: np.ndarray | None = None) -> Path:
        folder = tmp_path / "dataset"
        kinds = np.ones(user_songs.rows, np.uint8) if kind is None else kind.astype(np.uint8)

        def write(name: str, inputs: dict[str, str], save: Callable[[Path], None]) -> dict[str, str]:
            def build(target: Path) -> dict[str, Any]:
                save(target)
                return {}

            key = {"nnz": user_songs.nnz, "owned": owned.nnz, "kind": kinds.tolist()}
            return {name: stage.run(folder, name, inputs=inputs, settings=key, build=build).fingerprint}

        matrix = write("3-matrix", {}, lambda target: user_songs.save(target, "user_songs"))
        split = write("6-split", matrix, lambda target: np.save(target / "user_kind.npy", kinds))
        write("7-own", {**matrix, **split}, lambda target: owned.save(target, "owned"))
        return folder

    return make
