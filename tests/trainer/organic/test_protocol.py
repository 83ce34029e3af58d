"""The organic protocol as a whole, on made-up playlists whose makers keep to their genres."""

from pathlib import Path

import pytest

from trainer.dataset.build import build_dataset
from trainer.dataset.sources import find_sources
from trainer.organic.protocol import OrganicError, organic
from trainer.settings import DataSettings, TrainSettings
from trainer.synth.write import synthesise

SETTINGS = TrainSettings(dimension=16, epochs=3, learning_rate=0.05, backend="numba")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("organic")
    synthesise(directory / "raw", users=120, playlists=200, songs=1_500)
    build_dataset(find_sources(directory / "raw"), directory / "dataset", DataSettings())
    return directory / "dataset"


def test_taste_finds_the_own_half_and_overlap_cannot(dataset: Path, tmp_path: Path) -> None:
    found = organic(dataset, tmp_path, DataSettings(), SETTINGS)
    warm = {name: metrics["mrr"].value for name, metrics in found.batches["organic-warm"].scorers.items()}
    assert warm["taste"] > warm["chance"] + 0.1
    # The halves share no song, so the own one is last among all that share any.
    assert warm["overlap"] < warm["chance"]
    assert set(found.batches) == {"organic-warm", "organic-cold"}
    assert organic(dataset, tmp_path, DataSettings(), SETTINGS) == found


def test_too_few_playlists_are_refused(tmp_path: Path) -> None:
    synthesise(tmp_path / "raw", users=20, playlists=30, songs=300)
    build_dataset(find_sources(tmp_path / "raw"), tmp_path / "dataset", DataSettings())
    with pytest.raises(OrganicError, match="more than 50"):
        organic(tmp_path / "dataset", tmp_path / "work", DataSettings(), SETTINGS)
