"""Searches on disk."""

from __future__ import annotations

import pytest

from spotify_buddies.trainer.settings import TrainSettings
from spotify_buddies.trainer.tune.experiment import (
    FAILED,
    Result,
    Trial,
    TuneError,
    experiment_key,
    experiments,
    open_experiment,
    winner,
)
from tests.trainer.tune.conftest import SPACE, TUNE, epochs, trials


def test_the_key_depends_on_data_backend_space_and_both_settings():
    train = TrainSettings()
    keys = {
        experiment_key("a", "numba", SPACE, TUNE, train),
        experiment_key("b", "numba", SPACE, TUNE, train),
        experiment_key("a", "torch", SPACE, TUNE, train),
        experiment_key("a", "numba", {"dimension": SPACE["dimension"]}, TUNE, train),
        experiment_key("a", "numba", SPACE, TUNE.model_copy(update={"seed": 1}), train),
        experiment_key("a", "numba", SPACE, TUNE, TrainSettings(patience=2)),
    }
    assert len(keys) == 6
    assert experiment_key("a", "numba", SPACE, TUNE, TrainSettings()) in keys


def test_the_same_search_is_opened_again_with_its_trials_and_run(experiment, tmp_path):
    experiment.with_run("run-1")
    again = open_experiment(tmp_path, "f" * 64, "numba", SPACE, TUNE, TrainSettings(patience=4))
    assert (again.directory, again.created, again.run_id) == (experiment.directory, experiment.created, "run-1")
    assert again.trials() == tuple(trials().values())
    assert again.result() is None
    result = Result("b", 1, 0.6, "3", "run-2", "sha")
    again.write_result(result)
    assert again.result() == result


def test_an_epoch_that_is_heard_of_twice_stands_once_and_as_it_was():
    first, second = epochs(0.1, 0.2)
    trial = Trial("a", 0, {}).with_epoch(second).with_epoch(first)
    assert trial.epochs == (first, second)
    (retold,) = epochs(0.9)
    assert trial.with_epoch(retold).epochs == (first, second)
    assert (trial.score, trial.seconds) == (0.2, 1.0)


def test_the_winner_has_the_best_score_and_comes_first_of_equals():
    assert winner(()) is None
    assert winner((Trial("a", 0, {}), Trial("b", 1, {}, FAILED, epochs(0.9)))) is None
    found = winner((Trial("b", 1, {}, epochs=epochs(0.5)), Trial("a", 0, {}, epochs=epochs(0.5, 0.4))))
    assert found is not None
    assert found.trial_id == "a"


def test_searches_are_listed_newest_first_and_chosen_by_the_start_of_their_keys(experiment, tmp_path):
    other = open_experiment(tmp_path, "e" * 64, "numba", SPACE, TUNE, TrainSettings())
    listed = experiments(tmp_path)
    assert {one.key for one in listed} == {experiment.key, other.key}
    assert [one.created for one in listed] == sorted((one.created for one in listed), reverse=True)
    assert [one.key for one in experiments(tmp_path, (other.key[:6],))] == [other.key]
    with pytest.raises(TuneError, match="no experiment's key starts with 'zz'"):
        experiments(tmp_path, ("zz",))
    assert experiments(tmp_path / "nowhere") == []


def test_a_broken_file_is_named(experiment, tmp_path):
    (experiment.directory / "trials.json").write_text('[{"trial_id"')
    with pytest.raises(TuneError, match=r"trials\.json: not JSON"):
        experiment.trials()
    (experiment.directory / "experiment.json").write_text("{}")
    with pytest.raises(TuneError, match=r"experiment\.json: not an experiment of this release"):
        experiments(tmp_path)
