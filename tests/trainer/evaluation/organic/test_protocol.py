"""The organic protocol as a whole, on made-up playlists whose makers keep to their genres."""

from pathlib import Path

import pytest

from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.reading.sources import find_sources
from spotify_buddies.trainer.evaluation.organic.protocol import OrganicError, OrganicResult, organic
from spotify_buddies.trainer.settings import DataSettings, TrainSettings
from spotify_buddies.trainer.synth.write import synthesise

SETTINGS = TrainSettings(dimension=16, epochs=3)
# So small a data set has held-out likes and hard pools of fifty only with larger shares of both.
DATA = DataSettings(liked_share=0.15, hard_pool=0.6)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("organic")
    synthesise(directory / "raw", users=120, playlists=200, songs=1_500)
    build_dataset(find_sources(directory / "raw"), directory / "dataset", DataSettings())
    return directory


def _ask(work: Path, **options: bool) -> OrganicResult:
    return organic(work / "dataset", work / "work", DATA, SETTINGS, PairingSettings(), **options)


@pytest.fixture(scope="module")
def found(work: Path) -> OrganicResult:
    return _ask(work)


def test_models_that_know_songs_find_the_own_half_and_overlap_cannot(found: OrganicResult) -> None:
    warm = {name: metrics["mrr"].value for name, metrics in found.evaluation.batches["organic-warm"].scorers.items()}
    assert {"model", "bpr", "recipe", "implicit-bpr", "implicit-als", "taste"} <= set(warm)
    assert warm["taste"] > warm["chance"] + 0.1
    assert warm["model"] > warm["chance"] + 0.1
    # The halves share no song, so the own one is last among all that share any.
    assert warm["overlap"] < warm["chance"]


def test_the_likes_of_the_same_model_stand_beside(found: OrganicResult) -> None:
    assert set(found.evaluation.batches) == {"organic-warm", "organic-cold", "random", "hard"}
    assert found.left_out == {}


def test_the_protocol_is_the_same_each_time(work: Path, found: OrganicResult) -> None:
    assert _ask(work).to_json() == found.to_json()


def test_without_peers_only_the_model_and_the_untrained_are_asked(work: Path, found: OrganicResult) -> None:
    alone = _ask(work, peers=False).evaluation.batches["organic-warm"].scorers
    assert set(alone) == {"model", "popularity", "overlap", "chance"}
    assert alone["model"] == found.evaluation.batches["organic-warm"].scorers["model"]


def test_no_pairing_finds_more_than_its_playlists_allow(found: OrganicResult) -> None:
    rows = {row.pairing: row for row in found.candidates}
    reachable = rows.pop("owned by anybody else").recall
    everything = rows.pop("all playlists")
    assert (everything.recall, everything.candidates) == (1.0, everything.listeners)
    nearest = rows.pop("nearest by the model")
    assert nearest.candidates == 75
    assert nearest.recall >= everything.hit_at_5
    for row in rows.values():
        assert row.hit_at_5 <= row.recall <= reachable
    assert rows["fresh, 5 runs together"].recall >= rows["as configured"].recall


def test_too_few_playlists_are_refused(tmp_path: Path) -> None:
    synthesise(tmp_path / "raw", users=20, playlists=30, songs=300)
    build_dataset(find_sources(tmp_path / "raw"), tmp_path / "dataset", DataSettings())
    with pytest.raises(OrganicError, match="more than 50"):
        _ask(tmp_path)
