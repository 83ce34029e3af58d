"""Off-policy estimates: worked by hand, and as the Open Bandit Pipeline computes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotify_buddies.serve_app.online.evaluation import estimators
from spotify_buddies.serve_app.online.evaluation.estimators import NoEstimate
from tests.serve_app.online.evaluation.obp_inputs import CASES, draw

FIXTURE = json.loads((Path(__file__).parent / "obp.json").read_text(encoding="utf-8"))


def array(*values: float) -> Any:
    return np.array(values, np.float64)


@pytest.mark.parametrize("case", FIXTURE["cases"], ids=lambda case: f"{case['rounds']} rounds")
def test_estimates_are_those_of_the_open_bandit_pipeline(case: dict[str, Any]) -> None:
    logs = draw(case["seed"], case["rounds"])
    sums = (logs.reward.sum(), logs.logging.sum())
    assert sums == pytest.approx((case["sum_of_rewards"], case["sum_of_propensities"]), abs=1e-9), "other inputs"
    taken = np.arange(case["rounds"]), logs.action
    weight = estimators.weights(logs.logging, logs.target[taken])
    expected = (logs.target * logs.model).sum(axis=1)
    found = {
        "ips": estimators.inverse_propensity(logs.reward, weight).mean(),
        "snips": estimators.self_normalized(logs.reward, weight).mean(),
        "doubly_robust": estimators.doubly_robust(logs.reward, weight, logs.model[taken], expected).mean(),
    }
    assert found == {name: pytest.approx(case[name], abs=1e-6) for name in found}


def test_the_fixture_has_every_case_of_the_release_that_is_named() -> None:
    assert FIXTURE["obp"] == "0.5.7"
    assert [(case["seed"], case["rounds"]) for case in FIXTURE["cases"]] == list(CASES)


def test_four_decisions_by_hand() -> None:
    reward, logging, target = array(1, 0, 1, 0), array(0.5, 0.5, 0.25, 1), array(1, 0, 0.5, 0)
    weight = estimators.weights(logging, target)
    assert list(weight) == [2, 0, 2, 0]
    assert list(estimators.inverse_propensity(reward, weight)) == [2, 0, 2, 0]
    assert estimators.self_normalized(reward, weight).mean() == 1
    robust = estimators.doubly_robust(reward, weight, array(0.5, 0.5, 0.5, 0.5), array(0.5, 0.25, 0.5, 0.25))
    assert list(robust) == [1.5, 0.25, 1.5, 0.25]
    assert estimators.effective_size(weight) == 2


def test_effective_size_of_alike_weights_is_their_number_and_of_none_is_0() -> None:
    assert estimators.effective_size(np.full(7, 3.0)) == pytest.approx(7)
    assert estimators.effective_size(np.zeros(7)) == 0


@pytest.mark.parametrize(
    ("logging", "target", "says"),
    [
        (array(0.5), array(1, 1), "1 logged propensities and 2"),
        (array(0.0), array(1), "not above 0"),
        (array(1.5), array(1), "at most 1"),
        (array(np.nan), array(1), "not above 0"),
        (array(0.5), array(1.1), "not from 0 to 1"),
    ],
)
def test_probabilities_outside_their_range_are_refused(logging: Any, target: Any, says: str) -> None:
    with pytest.raises(NoEstimate, match=says):
        estimators.weights(logging, target)


def test_deterministic_logs_and_too_little_overlap_are_refused() -> None:
    with pytest.raises(NoEstimate, match="no propensity below 1 is logged"):
        estimators.require(np.ones(500), np.ones(500))
    with pytest.raises(
        NoEstimate, match=r"effective sample size is 99\.0 of 500 logged decisions, below the floor of 100"
    ):
        estimators.require(np.full(500, 0.5), np.repeat([2.0, 0.0], [99, 401]))
    estimators.require(np.full(500, 0.5), np.repeat([2.0, 0.0], [100, 400]))
    with pytest.raises(NoEstimate, match="nothing that the other version would show"):
        estimators.self_normalized(np.ones(3), np.zeros(3))
