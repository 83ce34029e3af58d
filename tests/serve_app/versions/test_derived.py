"""Versions for game days in a replica: loaded and checked like any other, detected by their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.build import local
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.counts import ArmCounter
from spotify_buddies.serve_app.versions.parity import check_parity
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation
from spotify_buddies.trainer.bundle import open_bundle
from spotify_buddies.trainer.registry.derive import DerivedKind, derive_bundle
from tests.serve_app.bundles import PLAYLISTS
from tests.serve_app.versions.conftest import USER_IDS, lists

Make = Callable[..., Answers]


@pytest.fixture
def derived(bundle_dir: Path, tmp_path: Path) -> Callable[[DerivedKind], Answers]:
    """A version derived from version 1, loaded, compared and warmed up as a replica does."""

    def make(kind: DerivedKind) -> Answers:
        bundle = derive_bundle(open_bundle(bundle_dir), tmp_path / kind.value, kind, "1")
        engine = Engine(bundle, "2")
        assert check_parity(engine) == ""
        made = Answers(engine, budgets=Budgets(5.0, 5.0), daily=None, history=None, telemetry=Silent())
        made.use_neighbours(local(engine))
        made.warm_up()
        return made

    return make


def told(production: Answers, canary: Answers) -> tuple[dict[str, str], ArmCounter]:
    """Who answers each user where the canary has everybody, asked one by one, and the canary's counts."""
    counts = ArmCounter("canary", canary.version, PLAYLISTS)
    made = Rotation(Assignment(ArmAnswers(production), ArmAnswers(canary, counts), 1.0, "salt"))
    by_user = {}
    for user_id in USER_IDS:
        ((_, version, arm, playlists, *_),) = lists(asyncio.run(made.route(Query(user_ids=(user_id,)))))
        assert playlists
        by_user[user_id] = f"{version} {pb.Arm.Name(arm)}"
    return by_user, counts


def test_an_erring_version_is_loaded_and_production_answers_those_without_finite_scores(
    answers: Make, derived: Callable[[DerivedKind], Answers]
) -> None:
    by_user, counts = told(answers("1"), derived(DerivedKind.ERRING))
    for row, user_id in enumerate(USER_IDS):
        assert by_user[user_id] == ("1 ARM_PRODUCTION" if row % 2 else "2 ARM_CANARY")
    assert (counts.row().errors, counts.row().listeners) == (len(USER_IDS) // 2, len(USER_IDS) // 2)


@pytest.mark.parametrize("kind", [DerivedKind.SAME, DerivedKind.SHUFFLED])
def test_the_others_answer_everybody(
    answers: Make, derived: Callable[[DerivedKind], Answers], kind: DerivedKind
) -> None:
    by_user, counts = told(answers("1"), derived(kind))
    assert set(by_user.values()) == {"2 ARM_CANARY"}
    assert (counts.row().errors, counts.row().listeners) == (0, len(USER_IDS))


def test_the_same_version_answers_the_same_and_a_shuffled_one_does_not(
    answers: Make, derived: Callable[[DerivedKind], Answers]
) -> None:
    def playlists(made: Answers) -> list[list[str]]:
        data = asyncio.run(Rotation(Assignment(ArmAnswers(made))).route(Query(user_ids=tuple(USER_IDS[:40]))))
        return [[name for name, _ in one[3]] for one in lists(data)]

    production = playlists(answers("1"))
    assert playlists(derived(DerivedKind.SAME)) == production
    assert playlists(derived(DerivedKind.SHUFFLED)) != production
