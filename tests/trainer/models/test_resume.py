"""Trainings that were interrupted: resumed they give the bytes of an undisturbed one, and no two mix in one folder."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Counting
from spotify_buddies.trainer.models import checkpoint
from spotify_buddies.trainer.models.drawn import Drawn
from spotify_buddies.trainer.models.model import EpochReport, TrainingError
from spotify_buddies.trainer.models.train import reports, training_key
from tests.trainer.models.planted_triplets import GENRES, PLAYLISTS, SETTINGS, USERS, fit, same


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


def test_the_checkpoint_record_is_json_for_people(triplets, validation, tmp_path):
    fit(triplets, validation, tmp_path)
    body = json.loads((tmp_path / "checkpoint.json").read_text())
    assert body["finished"] is True
    assert [report["epoch"] for report in body["reports"]] == [1, 2, 3, 4, 5]
