"""What speaks against a version, on real bundles of a real registry."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.serve_app.rollout.preflight import objections, overlap
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.trainer.registry.registry import Registry, RegistryError


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
    assert sentence == "random/mrr is 0.4, 20.0% below the 0.5 of version 1; 2.0% is allowed"
    assert against(registry, state_dir, "3", max_metric_drop=0.21) == []


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
    registry.tag("2", {"metrics": "{}"})
    (sentence,) = against(registry, state_dir, "2")
    assert sentence == "version 2 has none of the offline metrics of version 1 (random/mrr)"
    registry.tag("1", {"metrics": "{}"})
    assert against(registry, state_dir, "2") == []


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
