"""Objections to a version, on real bundles of a real registry."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.serve_app.rollout.preflight import objections, overlap, seeds_of
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.trainer.registry.registry import Registry, RegistryError
from spotify_buddies.trainer.registry.worth import LEAST_KEPT, MOST_DROP, SeedNoise


def against(registry: Registry, state_dir: Path, version: str, **settings: float) -> list[str]:
    fetch = partial(registry.fetch, directory=state_dir / "bundles")
    return objections(registry, fetch, version, "1", RolloutSettings(**settings))


def test_nothing_speaks_against_a_better_version(registry: Registry, state_dir: Path) -> None:
    assert against(registry, state_dir, "2") == []
    assert against(registry, state_dir, "1") == []


def test_a_metric_that_falls_is_named_with_both_figures_and_what_is_allowed(
    registry: Registry, state_dir: Path
) -> None:
    (sentence,) = against(registry, state_dir, "3")
    # Of seeds alone: 2.576 deviations of 0.02, of each of the two.
    assert sentence == (
        "random/mrr is 0.4, 20.0% below the 0.5 of version 1; 2.0% is allowed, and users and seeds explain 6.6%"
    )
    assert against(registry, state_dir, "3", max_metric_drop=0.21) == []
    (sentence,) = against(registry, state_dir, "3", max_metric_drop=0.19, seed_noise=0)
    assert sentence.endswith("19.0% is allowed, and users and seeds explain 0.0%")


def measured(registry: Registry, version: str, **metrics: float) -> None:
    named = {name.replace("__", "/"): value for name, value in metrics.items()}
    registry.tag(version, {"metrics": json.dumps(named)})


def test_the_noise_of_seeds_is_the_same_by_default_for_training_and_for_rollouts() -> None:
    settings = RolloutSettings()
    assert SeedNoise() == seeds_of(settings)
    assert (settings.max_metric_drop, settings.min_coverage_kept) == (MOST_DROP, LEAST_KEPT)


def test_a_difference_that_users_or_seeds_explain_is_none(registry: Registry, state_dir: Path) -> None:
    # Two trainings on the demo data that differ in their seed alone: hard MRR is 28.6 % lower, random MRR 4.2 %.
    measured(registry, "1", hard__mrr=0.7084, hard__mrr_se=0.0243, random__mrr=0.8725, random__mrr_se=0.0063)
    measured(registry, "2", hard__mrr=0.5056, hard__mrr_se=0.0239, random__mrr=0.8359, random__mrr_se=0.0066)
    assert against(registry, state_dir, "2") == []
    # Among few users as much says nothing either, among many it does.
    few, many = {"random__mrr_se": 0.1}, {"random__mrr_se": 0.001}
    measured(registry, "1", random__mrr=0.8, **few)
    measured(registry, "2", random__mrr=0.6, **few)
    assert against(registry, state_dir, "2") == []
    measured(registry, "1", random__mrr=0.8, **many)
    measured(registry, "2", random__mrr=0.6, **many)
    (sentence,) = against(registry, state_dir, "2")
    assert sentence.startswith("random/mrr is 0.6, 25.0% below the 0.8 of version 1")


def test_what_is_served_decides_before_the_rank_among_fifty(registry: Registry, state_dir: Path) -> None:
    served = {"served__hit@5": 0.4, "served__ndcg@10": 0.2, "served__coverage": 0.4, "served__gini": 0.8}
    measured(registry, "1", random__mrr=0.8, **served)
    measured(registry, "2", random__mrr=0.4, **served)
    assert against(registry, state_dir, "2") == []
    measured(registry, "2", random__mrr=0.9, **{**served, "served__hit@5": 0.2, "served__coverage": 0.1})
    fell, narrow = against(registry, state_dir, "2")
    assert fell.startswith("served/hit@5 is 0.2, 50.0% below the 0.4 of version 1")
    assert narrow.startswith("coverage of the lists of version 2 is 0.1, less than 50%")
    assert against(registry, state_dir, "2", max_metric_drop=0.5, min_coverage_kept=0.2) == []


def test_a_version_below_popularity_in_any_set_is_named(registry: Registry, state_dir: Path) -> None:
    measured(registry, "2", random__mrr=0.6, random__mrr_popularity=0.3, cold__mrr=0.2, cold__mrr_popularity=0.3)
    assert against(registry, state_dir, "2") == ["cold/mrr of version 2 is 0.2, below the 0.3 of popularity"]
    measured(registry, "2", random__mrr=0.6, cold__mrr=0.2, cold__mrr_popularity=0.3, cold__mrr_se=0.04)
    assert against(registry, state_dir, "2") == []


def test_a_version_below_overlap_in_every_set_is_named(registry: Registry, state_dir: Path) -> None:
    random = {"random__mrr": 0.52, "random__mrr_overlap": 0.69}
    measured(registry, "2", **random, hard__mrr=0.33, hard__mrr_overlap=0.17)
    assert against(registry, state_dir, "2") == [], "likes are made from overlap: the hard set decides"
    measured(registry, "2", **random, hard__mrr=0.09, hard__mrr_overlap=0.17)
    (sentence,) = against(registry, state_dir, "2")
    assert sentence == (
        "version 2 is below the overlap of songs in every set (hard/mrr 0.09 and 0.17, random/mrr 0.52 and 0.69)"
    )


def test_other_people_are_counted(registry: Registry, state_dir: Path) -> None:
    (sentence,) = against(registry, state_dir, "4")
    assert sentence == "version 4 knows 0.0% of the 60 users of version 1; 50.0% is asked for"
    assert against(registry, state_dir, "4", min_id_overlap=0) == []


def test_a_version_of_unknown_data_is_named(registry: Registry, state_dir: Path) -> None:
    assert against(registry, state_dir, "5") == ["version 5 does not say which data set it was made from"]
    registry.tag("2", {"dataset_fingerprint": "e" * 64})
    (sentence,) = against(registry, state_dir, "2")
    assert "registered for data set eeeeeeeeeeee, its bundle was made from dddddddddddd" in sentence


def test_a_version_that_was_not_judged_is_named_where_production_was(registry: Registry, state_dir: Path) -> None:
    measured(registry, "2", other__mrr=0.5)
    (sentence,) = against(registry, state_dir, "2")
    assert sentence == "version 2 has none of the offline metrics of version 1 (random/mrr)"
    measured(registry, "1")
    assert against(registry, state_dir, "2") == []


def test_a_version_without_any_metric_is_named_although_production_has_none(
    registry: Registry, state_dir: Path
) -> None:
    measured(registry, "1")
    measured(registry, "2", **{"random__hit@5": 0.5})
    assert against(registry, state_dir, "2") == ["version 2 has no offline MRR, so nothing says how well it ranks"]


def test_a_bundle_that_is_not_the_registered_one_is_a_reason(registry: Registry, state_dir: Path) -> None:
    registry.tag("2", {"bundle_sha256": "a" * 64})
    (sentence,) = against(registry, state_dir, "2")
    assert "the bundle of version 2 cannot be used" in sentence
    registry.tag("1", {"bundle_sha256": "a" * 64})
    assert "production's bundle cannot be used" in against(registry, state_dir, "3")[-1]


def test_a_version_that_is_not_there_is_an_error(registry: Registry, state_dir: Path) -> None:
    with pytest.raises(RegistryError, match="no version '9'"):
        against(registry, state_dir, "9")


@pytest.mark.parametrize(
    ("new", "old", "share"),
    [([], [], 1.0), ([], [1], 0.0), ([1], [], 1.0), ([1, 2, 3], [1, 2, 3], 1.0), ([2, 9], [1, 2, 3, 9], 0.5),
     ([5], [1, 9], 0.0), ([1, 1, 7], [1, 1, 8, 9], 0.5)],
)  # fmt: skip
def test_overlap_is_the_share_of_the_old_ids_that_are_known(new: list[int], old: list[int], share: float) -> None:
    assert overlap(np.array(new, np.uint64), np.array(old, np.uint64)) == share
