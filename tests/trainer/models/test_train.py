"""The training loop on small planted data, on every backend: what is learned, which epoch counts, what is refused."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from spotify_buddies.trainer.metrics.ranking import FactorScorer, ranks, summarise
from spotify_buddies.trainer.models import checkpoint
from spotify_buddies.trainer.models.model import EpochReport, Model, TrainingError, Validation, initial_model
from spotify_buddies.trainer.models.train import reports, training_key
from spotify_buddies.trainer.settings import TrainSettings
from tests.trainer.models.planted_triplets import NEGATIVES, PLAYLISTS, SETTINGS, USERS, fit, planted_rows, same


@pytest.mark.parametrize("backend", ["numba", "torch", "fused"])
def test_a_planted_taste_is_recovered(triplets, validation, tmp_path, backend):
    settings = TrainSettings(
        model="bpr",
        dimension=8,
        epochs=40,
        backend=backend,
        batch=256,
        learning_rate=0.02 if backend == "torch" else None,
    )
    heard: list[EpochReport] = []
    model = fit(triplets, validation, tmp_path, settings, on_epoch=heard.append)
    assert model.user_factors.shape == (USERS, 8)
    assert model.user_factors.dtype == np.float32
    assert max(report.metrics["random/mrr"] for report in heard) > 0.95
    assert heard[-1].loss < heard[0].loss < 0.75


@pytest.mark.parametrize("backend", ["numba", "torch", "fused"])
def test_the_same_call_gives_the_same_bytes(triplets, validation, tmp_path, backend):
    settings = SETTINGS.model_copy(update={"backend": backend, "batch": 128})
    assert same(
        fit(triplets, validation, tmp_path / "a", settings), fit(triplets, validation, tmp_path / "b", settings)
    )


def test_memory_mapped_triplets_give_the_same_model(triplets, validation, tmp_path):
    np.save(tmp_path / "triplets.npy", triplets)
    mapped = np.load(tmp_path / "triplets.npy", mmap_mode="r")
    assert same(fit(triplets, validation, tmp_path / "a"), fit(mapped, validation, tmp_path / "b"))


def test_training_stops_after_patience_and_keeps_the_best_epoch(triplets, tmp_path):
    rng = np.random.default_rng(5)  # positives that training pushes down: the MRR only falls
    wrong = planted_rows(rng, 2, NEGATIVES)
    wrong[:, [1, 2]] = wrong[:, [2, 1]]
    settings = SETTINGS.model_copy(update={"epochs": 50, "patience": 3, "centring": 0.0})
    heard: list[EpochReport] = []
    model = fit(triplets, Validation(wrong, wrong[:0]), tmp_path, settings, on_epoch=heard.append)
    key = training_key("data", settings)
    best = max(heard, key=lambda report: report.metrics["random/mrr"])
    assert len(heard) == best.epoch + 3
    assert [path.name for path in tmp_path.glob("*.safetensors")] == [f"epoch-{best.epoch:04d}-{key[:8]}.safetensors"]
    tensors = checkpoint.load(tmp_path, key, best.epoch)
    assert same(model, Model(tensors["user_factors"], tensors["playlist_factors"]))
    assert [report.epoch for report in reports(tmp_path, key) if report.best][-1] == best.epoch
    assert reports(tmp_path, "another") == ()


def test_an_epoch_that_gains_among_hard_negatives_alone_is_the_better_one(triplets, validation, tmp_path):
    rng = np.random.default_rng(5)
    wrong = planted_rows(rng, 2, NEGATIVES)
    wrong[:, [1, 2]] = wrong[:, [2, 1]]
    settings = SETTINGS.model_copy(update={"epochs": 30, "patience": 3, "centring": 0.0})
    heard: list[EpochReport] = []
    # Among random negatives the MRR only falls, and among these hard ones it rises faster.
    fit(triplets, Validation(wrong, validation.random), tmp_path, settings, on_epoch=heard.append)
    kept = [report for report in heard if report.best][-1]
    by_random = max(heard, key=lambda report: report.metrics["random/mrr"])
    assert kept.judged == max(report.judged for report in heard)
    assert kept.judged == (kept.metrics["random/mrr"] + kept.metrics["hard/mrr"]) / 2
    assert kept.epoch > by_random.epoch


def test_the_model_is_the_best_epochs_less_its_share_of_the_mean_user(triplets, validation, tmp_path):
    settings = SETTINGS.model_copy(update={"centring": 0.5})
    model = fit(triplets, validation, tmp_path, settings)
    key = training_key("data", settings)
    best = [report for report in reports(tmp_path, key) if report.best][-1]
    assert best.centring == 0.5
    tensors = checkpoint.load(tmp_path, key, best.epoch)
    users = tensors["user_factors"]
    assert np.allclose(model.user_factors, users - 0.5 * users.mean(axis=0), atol=1e-6)
    assert np.array_equal(model.playlist_factors, tensors["playlist_factors"])
    assert summarise(ranks(validation.random, FactorScorer(model)))["mrr"] == pytest.approx(
        best.metrics["random/mrr"], abs=1e-6
    )


def test_a_bounded_epoch_is_judged_as_often_and_learns_as_well(triplets, validation, tmp_path):
    best = []
    for most, epochs in ((2_400, 10), (600, 40)):
        settings = SETTINGS.model_copy(update={"epoch_triplets": most, "epochs": epochs, "patience": 40})
        heard: list[EpochReport] = []
        fit(triplets, validation, tmp_path / str(most), settings, on_epoch=heard.append)
        assert len(heard) == epochs
        best.append(max(report.metrics["random/mrr"] for report in heard))
    assert best[1] == pytest.approx(best[0], abs=0.03)


def test_without_validation_rows_every_epoch_runs_and_the_last_counts(triplets, tmp_path):
    none = Validation(np.empty((0, 12), np.int32), np.empty((0, 12), np.int32))
    heard: list[EpochReport] = []
    settings = SETTINGS.model_copy(update={"epochs": 4, "patience": 1})
    fit(triplets, none, tmp_path, settings, on_epoch=heard.append)
    assert [report.epoch for report in heard] == [1, 2, 3, 4]
    assert all(report.best and not report.metrics for report in heard)


def test_many_threads_learn_as_well(triplets, validation, tmp_path):
    heard: list[EpochReport] = []
    settings = SETTINGS.model_copy(update={"threads": 3, "epochs": 10})
    fit(triplets, validation, tmp_path, settings, on_epoch=heard.append)
    assert max(report.metrics["random/mrr"] for report in heard) > 0.9


def test_no_triplets_are_refused(validation, tmp_path):
    with pytest.raises(TrainingError, match="no triplets"):
        fit(np.empty((0, 3), np.int32), validation, tmp_path)


@pytest.mark.parametrize("row", [(USERS, 0, 1), (0, PLAYLISTS, 1), (0, 1, -1)])
def test_a_row_out_of_range_is_refused_by_its_position(triplets, validation, tmp_path, row):
    broken = triplets.copy()
    broken[11] = row
    with pytest.raises(TrainingError, match="triplet 11 is"):
        fit(broken, validation, tmp_path)


@pytest.mark.parametrize("backend", ["numba", "torch", "fused"])
def test_exploding_loss_stops_with_advice_and_leaves_no_checkpoint(triplets, validation, tmp_path, backend):
    settings = SETTINGS.model_copy(update={"learning_rate": 1e5, "backend": backend, "batch": 64})
    with pytest.raises(TrainingError, match=r"lower \[train\] learning_rate, now 100000"):
        fit(triplets, validation, tmp_path, settings)
    assert not list(tmp_path.glob("*"))


def test_initial_factors_are_xavier_uniform():
    model = initial_model(1_000, 500, 20, seed=1)
    bound = math.sqrt(6 / 1_020)
    assert 0.99 * bound < np.abs(model.user_factors).max() <= bound
    assert abs(model.user_factors.mean()) < bound / 50
    assert model.playlist_factors.std() == pytest.approx(math.sqrt(6 / 520) / math.sqrt(3), rel=0.02)


def test_training_errors_survive_pickling():
    error = pickle.loads(pickle.dumps(TrainingError("the loss is nan")))
    assert str(error) == "the loss is nan"


def test_factors_of_two_dimensions_are_refused():
    with pytest.raises(ValueError, match="differ in dimension"):
        Model(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32))
