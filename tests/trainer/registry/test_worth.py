"""What speaks against a version by its offline figures: those of what it serves first."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from spotify_buddies.trainer.registry.versions import VersionInfo
from spotify_buddies.trainer.registry.worth import SeedNoise, beneath, falls, narrows

NO_NOISE = SeedNoise(0, 0, 0)
AMONG_50 = {"random/mrr": 0.8, "random/mrr_popularity": 0.3}
SERVED = {"served/hit@5": 0.4, "served/hit@5_popularity": 0.1, "served/hit@5_se": 0.01, "served/ndcg@10": 0.2}


def version(number: int, **metrics: float) -> VersionInfo:
    return VersionInfo(str(number), (), datetime(2026, 1, 1, tzinfo=UTC), "run", "d" * 64, "b" * 64, metrics)


def test_a_version_that_serves_worse_than_popularity_is_named_however_well_it_ranks_among_fifty() -> None:
    (sentence,) = beneath(version(2, **AMONG_50, **{**SERVED, "served/hit@5": 0.05}))
    assert sentence == "served/hit@5 of version 2 is 0.05, below the 0.1 of popularity"


def test_a_version_that_serves_well_is_not_judged_among_fifty() -> None:
    assert beneath(version(2, **{**AMONG_50, "random/mrr": 0.1}, **SERVED)) == []
    (sentence,) = beneath(version(2, **{**AMONG_50, "random/mrr": 0.1}))
    assert sentence.startswith("random/mrr of version 2 is 0.1, below"), "without served figures it is"


def test_below_popularity_by_less_than_its_noise_is_no_reason() -> None:
    near = {**SERVED, "served/hit@5": 0.09, "served/hit@5_se": 0.01}
    assert beneath(version(2, **near), NO_NOISE) == []
    assert len(beneath(version(2, **{**near, "served/hit@5_se": 0.001}), NO_NOISE)) == 1


def test_a_fall_of_what_is_served_is_named_although_the_rank_among_fifty_rose() -> None:
    old, new = version(1, **AMONG_50, **SERVED), version(2, **{**AMONG_50, "random/mrr": 0.9}, **SERVED)
    assert falls(new, old) == []
    worse = version(2, **{**AMONG_50, "random/mrr": 0.9}, **{**SERVED, "served/hit@5": 0.2})
    (sentence,) = falls(worse, old)
    # Users 0.01 each, seeds 0.07 of each figure: 2.576 * sqrt(2 * 0.01^2 + (0.07 * 0.4)^2 + (0.07 * 0.2)^2) / 0.4.
    assert sentence == (
        "served/hit@5 is 0.2, 50.0% below the 0.4 of version 1; 2.0% is allowed, and users and seeds explain 22.1%"
    )


def test_versions_of_which_one_does_not_say_what_it_serves_are_compared_among_fifty() -> None:
    (sentence,) = falls(version(2, **{**AMONG_50, "random/mrr": 0.4}), version(1, **AMONG_50, **SERVED))
    assert sentence.startswith("random/mrr is 0.4, 50.0% below the 0.8 of version 1")


@pytest.mark.parametrize(
    ("coverage", "gini", "said"),
    [
        (0.2, 0.8, []),
        (0.19, 0.8, ["coverage of the lists of version 2 is 0.19, less than 50% of the 0.4 of version 1"]),
        (0.4, 0.95, ["evenness (1 - Gini) of the lists of version 2 is 0.05, less than 50% of the 0.2 of version 1"]),
        (0.8, 0.5, []),
    ],
)
def test_lists_that_show_less_than_half_of_what_they_showed_are_named(
    coverage: float, gini: float, said: list[str]
) -> None:
    old = version(1, **{"served/coverage": 0.4, "served/gini": 0.8})
    assert narrows(version(2, **{"served/coverage": coverage, "served/gini": gini}), old) == said


def test_what_only_one_version_says_is_not_compared() -> None:
    assert narrows(version(2), version(1, **{"served/coverage": 0.4, "served/gini": 0.8})) == []
