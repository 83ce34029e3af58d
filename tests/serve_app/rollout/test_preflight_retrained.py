"""Objections to a version of a retraining, which has compared it with production on the same questions."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from spotify_buddies.serve_app.rollout.preflight import objections
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.trainer.registry.registry import Registry
from spotify_buddies.trainer.registry.versions import JUDGED_TAG, KEPT_TAG

# Version 3 of the fixtures has 20 % less of an offline figure than version 1, which serves.
FELL = "random/mrr is 0.4, 20.0% below the 0.5 of version 1"


def against(registry: Registry, state_dir: Path, version: str) -> list[str]:
    fetch = partial(registry.fetch, directory=state_dir / "bundles")
    return objections(registry, fetch, version, "1", RolloutSettings())


def test_figures_of_other_questions_are_not_compared_where_a_retraining_has_compared_the_two(
    registry: Registry, state_dir: Path
) -> None:
    (sentence,) = against(registry, state_dir, "3")
    assert sentence.startswith(FELL)
    registry.tag("3", {JUDGED_TAG: "1"})
    assert registry.get("3").judged_against == "1"
    assert against(registry, state_dir, "3") == []


def test_lists_that_show_less_are_left_to_the_retraining_too(registry: Registry, state_dir: Path) -> None:
    for version, coverage in (("1", 0.4), ("2", 0.1)):
        metrics = {"random/mrr": 0.6, "served/hit@5": 0.4, "served/coverage": coverage, "served/gini": 0.8}
        registry.tag(version, {"metrics": json.dumps(metrics)})
    (sentence,) = against(registry, state_dir, "2")
    assert sentence.startswith("coverage of the lists of version 2 is 0.1")
    registry.tag("2", {JUDGED_TAG: "1"})
    assert against(registry, state_dir, "2") == []


def test_a_comparison_with_another_version_than_production_says_nothing(registry: Registry, state_dir: Path) -> None:
    for judged in ("2", ""):
        registry.tag("3", {JUDGED_TAG: judged})
        (sentence,) = against(registry, state_dir, "3")
        assert sentence.startswith(FELL)


def test_a_version_that_its_retraining_kept_back_is_refused_with_the_reason(
    registry: Registry, state_dir: Path
) -> None:
    reason = "the feedback does not fit the people who gave it"
    registry.tag("2", {JUDGED_TAG: "1", KEPT_TAG: reason})
    assert registry.get("2").kept == reason
    assert against(registry, state_dir, "2") == [f"its retraining kept version 2 back: {reason}"]
    registry.tag("2", {KEPT_TAG: ""})
    assert against(registry, state_dir, "2") == []


def test_everything_else_is_still_asked_of_a_retrained_version(registry: Registry, state_dir: Path) -> None:
    for version in ("2", "4"):
        registry.tag(version, {JUDGED_TAG: "1"})
    (sentence,) = against(registry, state_dir, "4")
    assert sentence.startswith("version 4 knows 0.0% of the 60 users of version 1")
    registry.tag("2", {"dataset_fingerprint": "e" * 64})
    (sentence,) = against(registry, state_dir, "2")
    assert "its bundle was made from dddddddddddd" in sentence
    registry.tag("2", {"dataset_fingerprint": "d" * 64})
    metrics = {"random/mrr": 0.6, "cold/mrr": 0.2, "cold/mrr_popularity": 0.3}
    registry.tag("2", {"metrics": json.dumps(metrics)})
    assert against(registry, state_dir, "2") == ["cold/mrr of version 2 is 0.2, below the 0.3 of popularity"]
