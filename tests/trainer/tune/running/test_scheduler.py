"""ASHA over a restored search."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from spotify_buddies.trainer.tune.experiment import Trial
from tests.trainer.tune.conftest import TUNE, epochs

pytest.importorskip("ray.tune")


@dataclass
class RayTrial:
    """What the scheduler looks at of Ray's trial."""

    trial_id: str
    last_result: dict[str, Any] = field(default_factory=dict)


def scheduler(remembered: dict[str, Trial]) -> Any:
    from spotify_buddies.trainer.tune.running.scheduler import Asha

    made = Asha(TUNE, remembered)
    assert made.set_search_properties("score", "max")
    return made


REMEMBERED = {
    name: Trial(name, at, {}, epochs=epochs(score, score))
    for at, (name, score) in enumerate({"a": 0.5, "b": 0.7}.items())
}


def test_a_new_trial_is_compared_with_those_from_before_the_interruption():
    asha = scheduler(REMEMBERED)
    for name in REMEMBERED:
        asha.on_trial_add(None, RayTrial(name, {"epoch": 2}))
    worse, better = RayTrial("c"), RayTrial("d")
    asha.on_trial_add(None, worse)
    asha.on_trial_add(None, better)
    assert asha.on_trial_result(None, worse, {"epoch": 1, "score": 0.2}) == "STOP"
    assert asha.on_trial_result(None, better, {"epoch": 1, "score": 0.8}) == "CONTINUE"


def test_without_the_memory_the_first_trial_would_pass_whatever_it_scores():
    asha = scheduler({})
    trial = RayTrial("c")
    asha.on_trial_add(None, trial)
    assert asha.on_trial_result(None, trial, {"epoch": 1, "score": 0.0}) == "CONTINUE"


def test_epochs_that_ray_had_not_heard_of_are_judged_when_they_are_told_again():
    asha = scheduler({**REMEMBERED, "c": Trial("c", 2, {}, epochs=epochs(0.9, 0.1))})
    for name in REMEMBERED:
        asha.on_trial_add(None, RayTrial(name, {"epoch": 2}))
    restored = RayTrial("c", {"epoch": 1})
    asha.on_trial_add(None, restored)
    assert asha.on_trial_result(None, restored, {"epoch": 2, "score": 0.1}) == "STOP"
