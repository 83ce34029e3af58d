"""A small data set with a planted taste, the model that learned it, the same with shuffled factors, and a Postgres."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.search import build_index
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.serve_app.embedded import postgres
from spotify_buddies.trainer.bundle import write_bundle
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.models.model import Model, Validation
from spotify_buddies.trainer.models.train import train
from spotify_buddies.trainer.publish.parts import bundle_parts
from spotify_buddies.trainer.settings import TrainSettings
from tests.trainer.planted import PLAYLISTS, USERS, Planted, plant

SETTINGS = TrainSettings(model="bpr", dimension=16, epochs=12, seed=7)


@dataclass(frozen=True)
class PlantedTaste:
    """dataset: of 240 users. good, shuffled: bundles with the same candidates, all playlists of others."""

    dataset: Path
    good: Path
    shuffled: Path


@pytest.fixture(scope="session")
def planted_taste(tmp_path_factory: pytest.TempPathFactory) -> PlantedTaste:
    root = tmp_path_factory.mktemp("planted-taste")
    planted = plant(root, seed=1)
    batches = planted.dataset / "9-validation"
    triplets = np.load(planted.dataset / "8-triplets" / "triplets.npy")
    validation = Validation(np.load(batches / "random.npy"), np.load(batches / "hard.npy"))
    model = train(triplets, validation, USERS, PLAYLISTS, SETTINGS, root / "checkpoints", key="planted")
    mixed = np.random.default_rng(5).permutation(model.playlist_factors)
    bad = Model(model.user_factors, mixed)
    return PlantedTaste(planted.dataset, _write(root / "good", planted, model), _write(root / "shuffled", planted, bad))


def _write(directory: Path, planted: Planted, model: Model) -> Path:
    data = open_dataset(planted.dataset)
    # All playlists of others: in so small a world the pairing alone would find the taste, whatever the factors.
    owned = [set(data.owned.row(user).tolist()) for user in range(data.owned.rows)]
    everything = np.arange(data.owned.columns, dtype=np.int32)
    candidates = Csr.from_rows([everything[[p not in own for p in everything]] for own in owned], data.owned.columns)
    index = directory / "index"
    index.mkdir(parents=True)
    build_index(data.user_songs, index, PairingSettings(dimension=16))
    parts = bundle_parts(data, planted.pairing, candidates, model, training={}, metrics={})
    write_bundle(directory / "bundle", replace(parts, index=index))
    return directory / "bundle"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pg-") as directory, postgres(Path(directory) / "data") as url:
        yield url
