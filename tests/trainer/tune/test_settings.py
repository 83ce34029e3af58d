"""[tune] and its space as data."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from spotify_buddies.clients.command.settings import SettingsError, read_settings
from spotify_buddies.trainer.settings import TrainSettings
from spotify_buddies.trainer.tune.cli import SECTIONS
from spotify_buddies.trainer.tune.run import _backend
from spotify_buddies.trainer.tune.settings import Domain, TuneSettings
from spotify_buddies.trainer.tune.space import chosen_settings, default_space, space_of, trial_settings


def of(**space: object) -> TuneSettings:
    return TuneSettings.model_validate({"space": space})


def test_a_space_is_read_from_the_settings_file_and_shown_as_it_was_written(tmp_path):
    file = tmp_path / "buddies.toml"
    file.write_text(
        "[tune.space]\ndimension = {choice = [8, 16]}\nlearning_rate = {loguniform = [0.01, 0.1]}\n"
        "patience = {integers = [2, 5]}\n"
    )
    settings = read_settings(SECTIONS, file=file, environment={}).tune
    assert settings.space["dimension"] == Domain(choice=(8, 16))
    assert settings.model_dump(mode="json")["space"] == {
        "dimension": {"choice": [8, 16]},
        "learning_rate": {"loguniform": [0.01, 0.1]},
        "patience": {"integers": [2, 5]},
    }


def test_an_unknown_setting_is_named_with_its_nearest(tmp_path):
    file = tmp_path / "buddies.toml"
    file.write_text("[tune.space]\nlearning_rat = {uniform = [0.01, 0.1]}\n")
    with pytest.raises(SettingsError, match=r"learning_rat: \[train\] has no such setting; did you mean learning_rate"):
        read_settings(SECTIONS, file=file, environment={})


def test_every_setting_of_train_can_be_searched_but_what_the_search_decides():
    assert set(of(backend={"choice": ["numba", "torch"]}, accumulate={"choice": [1, 2]}).space or {}) == {
        "backend",
        "accumulate",
    }
    for fixed in ("epochs", "threads"):
        with pytest.raises(ValidationError, match=f"{fixed} is not searched"):
            of(**{fixed: {"choice": [1, 2]}})


@pytest.mark.parametrize(
    ("domain", "problem"),
    [
        ({"choice": [64, 5_000]}, "dimension cannot be 5000"),
        ({"integers": [0, 8]}, "dimension cannot be 0"),
        ({"uniform": [8, 16]}, "dimension cannot be 10.96"),
        ({"choice": ["wide"]}, "dimension cannot be 'wide'"),
        ({"uniform": [2, 1]}, "to a larger one, not from 2.0 to 1.0"),
        ({"loguniform": [0, 1]}, "begins above 0"),
        ({"choice": [8], "uniform": [1, 2]}, "exactly one of choice"),
        ({}, "exactly one of choice"),
        ({"choice": []}, "at least 1 item"),
        ({"normal": [0, 1]}, "normal"),
    ],
)
def test_a_domain_that_its_setting_cannot_take_is_refused(domain, problem):
    with pytest.raises(ValidationError, match=problem):
        of(dimension=domain)


def test_an_empty_space_is_refused_and_none_is_the_default_one():
    with pytest.raises(ValidationError, match="at least one setting"):
        of()
    assert space_of(TuneSettings(), "numba", draws=False) == default_space("numba", draws=False)


def test_the_default_space_suits_its_backend():
    numba, torch = default_space("numba", draws=True), default_space("torch", draws=False)
    assert numba["dimension"] == torch["dimension"] == Domain(choice=(64, 128, 256))
    assert torch["learning_rate"] == Domain(loguniform=(1e-4, 1e-2))
    assert numba["learning_rate"] == Domain(loguniform=(0.005, 0.5))
    assert torch["batch"] == Domain(choice=(8_192, 16_384))
    assert "batch" not in numba
    assert {"negatives", "hard_share"} <= set(numba)
    assert not {"negatives", "hard_share"} & set(torch)
    hybrid = default_space("hybrid", draws=True)
    assert hybrid["dimension"] == numba["dimension"]
    for space in (numba, torch, hybrid):
        assert TuneSettings(space=space).space == space


def test_a_grace_beyond_the_last_epoch_is_refused():
    with pytest.raises(ValidationError, match="grace is at most epochs, 3"):
        TuneSettings(epochs=3, grace=4)


def test_the_hybrid_model_leaves_the_backend_as_it_is():
    train = TrainSettings(model="hybrid")
    assert chosen_settings(train, "hybrid", {"dimension": 16}) == TrainSettings(model="hybrid", dimension=16)


def test_the_hybrid_model_on_devices_is_named_to_every_node_and_searched_alike():
    train = TrainSettings(model="hybrid")
    chosen = chosen_settings(train, "hybrid_fused", {"dimension": 16})
    assert chosen == TrainSettings(model="hybrid", backend="fused", dimension=16)
    assert default_space("hybrid_fused", draws=True) == default_space("hybrid", draws=True)


@pytest.mark.parametrize(
    ("model", "gpus", "expected"),
    [("hybrid", 0, "hybrid"), ("hybrid", 1, "hybrid_fused"), ("bpr", 0, "numba"), ("bpr", 1, "fused")],
)
def test_auto_trains_on_the_devices_of_the_cluster(model, gpus, expected):
    assert _backend(TrainSettings(model=model), {"CPU": 2, "GPU": gpus}) == expected


def test_a_trial_is_bounded_by_tune_and_the_winner_by_train():
    train = TrainSettings(epochs=30, threads=0, patience=4)
    point = {"dimension": 16}
    trial = trial_settings(train, TuneSettings(epochs=6), "numba", point)
    chosen = chosen_settings(train, "numba", point)
    assert (trial.epochs, trial.threads, trial.patience, trial.dimension, trial.backend) == (6, 1, 4, 16, "numba")
    assert (chosen.epochs, chosen.threads, chosen.patience, chosen.dimension) == (30, 0, 4, 16)
