"""An experiment on disk with four trials: two ran to their end, one was stopped, one failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from spotify_buddies.trainer.settings import TrainSettings
from spotify_buddies.trainer.tune.experiment import DONE, FAILED, STOPPED, Epoch, Experiment, Trial, open_experiment
from spotify_buddies.trainer.tune.settings import Domain, TuneSettings

SPACE = {"dimension": Domain(choice=(8, 16)), "learning_rate": Domain(loguniform=(0.01, 1.0))}
TUNE = TuneSettings(trials=4, epochs=4, grace=1, reduction=2, space=SPACE)


def epochs(*scores: float) -> tuple[Epoch, ...]:
    """Epochs with these MRRs, half a second each; the score is the best so far."""
    return tuple(
        Epoch(
            epoch=at,
            loss=0.7 / at,
            best=score == max(scores[:at]) and score not in scores[: at - 1],
            score=max(scores[:at]),
            metrics={"random/mrr": score, "hard/mrr": score / 2},
            seconds=0.5,
        )
        for at, score in enumerate(scores, 1)
    )


def trials() -> dict[str, Trial]:
    made = (
        Trial("a", 0, {"dimension": 8, "learning_rate": 0.02}, DONE, epochs(0.1, 0.2, 0.3, 0.25), "all 4 epochs"),
        Trial("b", 1, {"dimension": 16, "learning_rate": 0.1}, DONE, epochs(0.2, 0.4, 0.5, 0.6), "all 4 epochs"),
        Trial("c", 2, {"dimension": 8, "learning_rate": 0.5}, STOPPED, epochs(0.05), "by ASHA after 1 epochs"),
        Trial("d", 3, {"dimension": 16, "learning_rate": 1.0}, FAILED, (), "the loss is nan"),
    )
    return {trial.trial_id: trial for trial in made}


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    made = open_experiment(tmp_path, "f" * 64, "numba", SPACE, TUNE, TrainSettings(patience=4))
    made.write_trials(trials())
    return made
