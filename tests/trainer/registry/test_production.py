"""Alias production after a training: of versions better than the baselines, else of whatever was there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spotify_buddies.trainer.bundle import BundleParts, write_bundle
from spotify_buddies.trainer.registry.mlflow_client import artifact_location, connect, default_uri
from spotify_buddies.trainer.registry.production import register_checked
from spotify_buddies.trainer.registry.registry import Registry

GOOD = {"random/mrr": 0.6, "random/mrr_popularity": 0.3}
BAD = {"random/mrr": 0.2, "random/mrr_popularity": 0.3}


class Trainings:
    """Versions by their metrics, each registered as a training does."""

    def __init__(self, state: Path, directory: Path, parts: BundleParts) -> None:
        self.registry = Registry(default_uri(state), "organic-playlists")
        self._client = connect(self.registry.uri)
        location = artifact_location(self.registry.uri, directory)
        self._experiment = self._client.create_experiment("buddies", location)
        self._directory, self._parts = directory, parts

    def register(self, metrics: dict[str, float], *aliases: str, seed: int = 1) -> tuple[str, tuple[str, ...]]:
        name = f"{seed}-{len(list(self._directory.iterdir()))}"
        bundle = write_bundle(self._directory / name, replace(self._parts, metrics=metrics, training={"seed": seed}))
        run_id = str(self._client.create_run(self._experiment).info.run_id)
        return register_checked(self.registry, bundle.directory, run_id, aliases)

    def use_other_data(self) -> None:
        self._parts = replace(self._parts, dataset_fingerprint="e" * 64)

    @property
    def aliases(self) -> dict[str, str]:
        return dict(self.registry.read_aliases().aliases)


@pytest.fixture
def trainings(mlflow_state: Path, bundle_parts: BundleParts, tmp_path: Path) -> Trainings:
    directory = tmp_path / "bundles"
    directory.mkdir()
    return Trainings(mlflow_state, directory, bundle_parts)


def test_production_follows_a_training_that_beats_the_baselines(trainings: Trainings) -> None:
    assert trainings.register(GOOD, "production") == ("1", ())
    assert trainings.register(GOOD, "production", "staging", seed=2) == ("2", ())
    assert trainings.aliases == {"production": "2", "staging": "2"}


@pytest.mark.parametrize(
    ("metrics", "said"), [(BAD, "random/mrr of version 2 is 0.2, below the 0.3 of popularity"), ({}, "no offline MRR")]
)
def test_production_stays_where_a_training_does_not_beat_them(
    trainings: Trainings, metrics: dict[str, float], said: str
) -> None:
    trainings.register(GOOD, "production")
    number, (warning,) = trainings.register(metrics, "production", "staging", seed=2)
    assert (number, trainings.aliases) == ("2", {"production": "1", "staging": "2"})
    assert warning.startswith("production stays version 1: ")
    assert said in warning
    assert warning.endswith("`buddies registry alias production 2 --force` moves it")
    assert trainings.register(metrics, "canary", seed=2) == ("2", ())


def test_the_first_version_is_production_in_any_case_and_a_repetition_keeps_it(trainings: Trainings) -> None:
    for _ in range(2):
        number, (warning,) = trainings.register(BAD, "production")
        assert (number, trainings.aliases) == ("1", {"production": "1"})
        assert warning.startswith("production is version 1, although random/mrr of version 1 is 0.2")


SERVED = {"served/hit@5": 0.4, "served/ndcg@10": 0.2, "served/coverage": 0.4, "served/gini": 0.8}


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"served/hit@5": 0.1}, "served/hit@5 is 0.1, 75.0% below the 0.4 of version 1"),
     ({"served/coverage": 0.1}, "coverage of the lists of version 2 is 0.1")],
)  # fmt: skip
def test_production_stays_where_a_training_on_the_same_data_serves_worse(
    trainings: Trainings, changed: dict[str, float], said: str
) -> None:
    trainings.register({**GOOD, **SERVED}, "production")
    number, (warning,) = trainings.register({**GOOD, **SERVED, **changed}, "production", seed=2)
    assert (number, trainings.aliases) == ("2", {"production": "1"})
    assert said in warning


def test_a_training_on_other_data_is_not_compared_when_it_is_registered(trainings: Trainings) -> None:
    trainings.register({**GOOD, **SERVED}, "production")
    trainings.use_other_data()
    assert trainings.register({**GOOD, **SERVED, "served/hit@5": 0.1}, "production", seed=2) == ("2", ())
