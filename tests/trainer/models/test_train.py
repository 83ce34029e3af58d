"""The training loop on small planted data, on both backends."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Counting
from spotify_buddies.trainer.metrics.ranking import FactorScorer, ranks, summarise
from spotify_buddies.trainer.models import checkpoint
from spotify_buddies.trainer.models.drawn import Drawn
from spotify_buddies.trainer.models.model import EpochReport, Model, TrainingError, Validation, initial_model
from spotify_buddies.trainer.models.train import reports, train, training_key
from spotify_buddies.trainer.settings import TrainSettings

USERS, PLAYLISTS, GENRES, NEGATIVES = 80, 40, 4, 10
SETTINGS = TrainSettings(model="bpr", dimension=8, epochs=5, seed=3)


def planted_rows(rng: np.random.Generator, per_user: int, negatives: int) -> np.ndarray:
    """User, a playlist of the user's genre, playlists of other genres."""
    rows = []
    for user in np.repeat(np.arange(USERS), per_user):
        own = rng.integers(PLAYLISTS // GENRES) * GENRES + user % GENRES
        others = np.setdiff1d(np.arange(PLAYLISTS), np.arange(user % GENRES, PLAYLISTS, GENRES))
        rows.append((user, own, *rng.choice(others, negatives, replace=False)))
    return rng.permutation(np.array(rows, np.int32))


@pytest.fixture(scope="module")
def triplets() -> np.ndarray:
    return planted_rows(np.random.default_rng(1), 30, 1)


@pytest.fixture(scope="module")
def validation() -> Validation:
    rng = np.random.default_rng(2)
    return Validation(planted_rows(rng, 2, NEGATIVES), planted_rows(rng, 1, NEGATIVES))


def fit(triplets, validation, directory, settings=SETTINGS, data="data", **rest) -> Model:
    key = training_key(data, settings)
    return train(triplets, validation, USERS, PLAYLISTS, settings, directory, key=key, **rest)


def same(a: Model, b: Model) -> bool:
    return (
        a.user_factors.tobytes() == b.user_factors.tobytes()
        and a.playlist_factors.tobytes() == b.playlist_factors.tobytes()
    )


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


@pytest.mark.parametrize("backend", ["numba", "torch", "fused"])
@pytest.mark.parametrize("stopped_after", [1, 3])
def test_resumed_equals_undisturbed(triplets, validation, tmp_path, backend, stopped_after):
    settings = SETTINGS.model_copy(update={"backend": backend, "batch": 128, "accumulate": 2})
    undisturbed = fit(triplets, validation, tmp_path / "a", settings)

    def interrupt(report: EpochReport) -> None:
        if report.epoch == stopped_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(triplets, validation, tmp_path / "b", settings, on_epoch=interrupt)
    heard: list[int] = []
    resumed = fit(triplets, validation, tmp_path / "b", settings, on_epoch=lambda report: heard.append(report.epoch))
    assert heard[0] == stopped_after + 1
    assert same(undisturbed, resumed)
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}


def test_an_interruption_within_an_epoch_costs_that_epoch_only(triplets, validation, tmp_path):
    def interrupt(what: str, done: int, total: int, unit: str = "") -> None:
        if done > 2 * len(triplets):  # in the third epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(triplets, validation, tmp_path / "b", progress=Counting(interrupt))
    heard: list[int] = []
    resumed = fit(triplets, validation, tmp_path / "b", on_epoch=lambda report: heard.append(report.epoch))
    assert heard == [3, 4, 5]
    assert same(resumed, fit(triplets, validation, tmp_path / "a"))


def test_a_finished_training_is_not_repeated(triplets, validation, tmp_path):
    first = fit(triplets, validation, tmp_path)
    heard: list[EpochReport] = []
    assert same(first, fit(triplets, validation, tmp_path, on_epoch=heard.append))
    assert heard == []


@pytest.mark.parametrize("change", [{"seed": 4}, {"learning_rate": 0.01}, {"epochs": 6}])
def test_other_settings_start_over(triplets, validation, tmp_path, change):
    fit(triplets, validation, tmp_path)
    heard: list[int] = []
    settings = SETTINGS.model_copy(update=change)
    fit(triplets, validation, tmp_path, settings, on_epoch=lambda report: heard.append(report.epoch))
    assert heard[0] == 1


def test_other_data_or_settings_are_another_training():
    key = training_key("data", SETTINGS)
    assert key == training_key("data", SETTINGS)
    assert key != training_key("other", SETTINGS)
    assert key != training_key("data", SETTINGS.model_copy(update={"seed": 4}))


def test_two_trainings_in_one_folder_never_mix(triplets, validation, tmp_path, monkeypatch):
    """The second is cut off between its first tensors and its record; the first one's record must not read them."""

    def interrupt_after(epochs: int):
        def interrupt(report: EpochReport) -> None:
            if report.epoch == epochs:
                raise KeyboardInterrupt

        return interrupt

    with pytest.raises(KeyboardInterrupt):
        fit(triplets, validation, tmp_path / "b", on_epoch=interrupt_after(1))
    other = SETTINGS.model_copy(update={"seed": 4})
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fit(triplets, validation, tmp_path / "b", other)
    assert same(fit(triplets, validation, tmp_path / "b"), fit(triplets, validation, tmp_path / "a"))


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


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_resumed_equals_undisturbed_where_negatives_are_drawn(validation, tmp_path, stopped_after):
    rng = np.random.default_rng(3)
    others = [np.setdiff1d(np.arange(PLAYLISTS), np.arange(u % GENRES, PLAYLISTS, GENRES)) for u in range(USERS)]
    source = Drawn(
        positives=Csr.from_rows([np.arange(u % GENRES, PLAYLISTS, GENRES)[:6] for u in range(USERS)], PLAYLISTS),
        hard=Csr.from_rows([rng.permutation(pool)[:5] for pool in others], PLAYLISTS),
        easy=Csr.from_rows([rng.permutation(pool)[:9] for pool in others], PLAYLISTS),
        negatives=4,
        hard_share=0.5,
    )
    undisturbed = fit(source, validation, tmp_path / "a")

    def interrupt(report: EpochReport) -> None:
        if report.epoch == stopped_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(source, validation, tmp_path / "b", on_epoch=interrupt)
    assert same(undisturbed, fit(source, validation, tmp_path / "b"))
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert max(r.metrics["random/mrr"] for r in reports(tmp_path / "a", training_key("data", SETTINGS))) > 0.5


@pytest.mark.parametrize("backend", ["numba", "torch", "fused"])
def test_resumed_in_the_middle_of_a_pass_equals_undisturbed(triplets, validation, tmp_path, backend):
    settings = SETTINGS.model_copy(update={"backend": backend, "batch": 128, "epoch_triplets": 700, "epochs": 6})
    assert len(triplets) == 2_400  # four epochs a pass
    undisturbed = fit(triplets, validation, tmp_path / "a", settings)
    heard: list[int] = []

    def interrupt(what: str, done: int, total: int, unit: str = "") -> None:
        heard.append(total)
        if done > 2 * 600:  # in the third epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(triplets, validation, tmp_path / "b", settings, progress=Counting(interrupt))
    assert set(heard) == {6 * 600}
    assert same(undisturbed, fit(triplets, validation, tmp_path / "b", settings))


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


def test_a_broken_checkpoint_says_what_to_remove(triplets, validation, tmp_path):
    fit(triplets, validation, tmp_path)
    (tensors,) = tmp_path.glob("*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:20])
    with pytest.raises(TrainingError, match="remove"):
        fit(triplets, validation, tmp_path)
    (tmp_path / "checkpoint.json").write_text("{")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        fit(triplets, validation, tmp_path)


def test_leftovers_of_a_crash_are_ignored(triplets, validation, tmp_path):
    """A crash between the tensors and the record: the record still names the epoch before."""

    def interrupt(report: EpochReport) -> None:
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(triplets, validation, tmp_path / "b", on_epoch=interrupt)
    name = f"epoch-0003-{training_key('data', SETTINGS)[:8]}"
    (tmp_path / "b" / f"{name}.safetensors").write_bytes(b"half")
    (tmp_path / "b" / f"{name}.partial").write_bytes(b"half")
    assert same(fit(triplets, validation, tmp_path / "b"), fit(triplets, validation, tmp_path / "a"))


def test_initial_factors_are_xavier_uniform():
    model = initial_model(1_000, 500, 20, seed=1)
    bound = math.sqrt(6 / 1_020)
    assert 0.99 * bound < np.abs(model.user_factors).max() <= bound
    assert abs(model.user_factors.mean()) < bound / 50
    assert model.playlist_factors.std() == pytest.approx(math.sqrt(6 / 520) / math.sqrt(3), rel=0.02)


def test_the_checkpoint_record_is_json_for_people(triplets, validation, tmp_path):
    fit(triplets, validation, tmp_path)
    body = json.loads((tmp_path / "checkpoint.json").read_text())
    assert body["finished"] is True
    assert [report["epoch"] for report in body["reports"]] == [1, 2, 3, 4, 5]


def test_training_errors_survive_pickling():
    error = pickle.loads(pickle.dumps(TrainingError("the loss is nan")))
    assert str(error) == "the loss is nan"


def test_factors_of_two_dimensions_are_refused():
    with pytest.raises(ValueError, match="differ in dimension"):
        Model(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32))
