"""Exploration by arm: which lists are drawn at random, what is remembered of it, and what never explores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotify_buddies.clients.command.settings import SettingsError, read_settings
from spotify_buddies.clients.main import sections
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.asked import asked_of, exploration_of
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.build import explorations_of, local
from spotify_buddies.serve_app.queue.settings import settings_of
from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.serve_app.ranking.kernels.exploring import explore_columns
from spotify_buddies.serve_app.ranking.query import Arm, Mode
from spotify_buddies.serve_app.ranking.rules import FIELD, Exploration, Policy
from spotify_buddies.serve_app.settings.exploration import ArmExploration, ExplorationSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.counts import SHADOW, ArmCounter
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation
from spotify_buddies.serve_app.versions.shadow import Shadow
from tests.serve_app.bundles import NO_PAIRING, PLAYLISTS
from tests.serve_app.versions.conftest import USER_IDS
from tests.serve_app.versions.remembered import TASTE, Memory
from tests.waiting import wait_until

EPSILON, LUCE = Exploration(Policy.EPSILON, 0.5, 5), Exploration(Policy.PLACKETT_LUCE, 0.5, 5)
BOTH: Mapping[Arm, Exploration] = {Arm.PRODUCTION: EPSILON, Arm.CANARY: LUCE}
Make = Callable[..., Answers]


def route(made: Rotation, **fields: Any) -> list[pb.Recommendation]:
    data = asyncio.run(made.route(decode_query(pb.RecommendRequest(**fields))))
    return list(pb.RecommendResponse.FromString(data).recommendations)


def alone(answers: Answers) -> Rotation:
    return Rotation(Assignment(ArmAnswers(answers)))


@pytest.mark.parametrize(
    "asked",
    [
        {"user_ids": ["user-3"]},
        {"user_ids": USER_IDS * 2, "limit": 7},
        {"user_ids": [f"user-{NO_PAIRING}", "nobody", "user-1"]},
        {"tastes": [TASTE], "user_ids": ["user-2"]},
        {"tastes": [TASTE]},
        {"user_ids": ["user-3"], "adventurous": 0.5, "calibration": 0.5},
    ],
    ids=["one", "many", "cold", "a taste too", "taste", "weighed"],
)
def test_each_arm_draws_its_own_way_and_says_so(answers: Make, asked: dict[str, Any]) -> None:
    memory = Memory()
    made = answers("1", history=memory, explorations=BOTH, budgets=Budgets(5.0, 5.0, 50_000))
    made.use_neighbours(local(made.engine))
    for arm, exploration in BOTH.items():
        memory.shown.clear()
        query = decode_query(pb.RecommendRequest(**asked))
        made.note(asyncio.run(made.rank_and_encode(query, made.exclude(query), arm)), None)
        assert memory.shown
        for shown in memory.shown:
            assert shown.arm == arm.label
            assert shown.asked is not None
            assert exploration_of(shown.asked) == exploration
            assert shown.propensities is not None
            filled = np.arange(shown.rows.shape[1]) < shown.counts[:, None]
            several = shown.counts > 1
            assert ((shown.propensities > 0) & (shown.propensities <= 1)).all()
            assert (shown.propensities[:, 0][several] < 1).all()
            assert (shown.propensities[~filled] == 1).all()
            if exploration is EPSILON:
                # At least as likely as one of five evenly.
                assert (shown.propensities[filled] > 0.0999).all()


def test_without_exploration_nothing_is_drawn_or_said(answers: Make) -> None:
    memory = Memory()
    made = answers("1", history=memory, explorations={Arm.CANARY: LUCE})
    for asked in ({"user_ids": ["user-3"]}, {"user_ids": USER_IDS}, {"tastes": [TASTE]}):
        route(alone(made), **asked)
    assert len(memory.shown) == 3
    for shown in memory.shown:
        assert shown.propensities is None
        assert shown.asked is not None
        assert exploration_of(shown.asked) is None


def test_a_list_of_the_day_and_what_stands_in_for_it_are_not_drawn(answers: Make) -> None:
    memory = Memory()
    explores, plain = answers("1", history=memory, explorations=BOTH), answers("1")
    asked: dict[str, Any] = {"user_ids": USER_IDS, "mode": pb.MODE_DAILY}
    drawn, greedy = route(alone(explores), **asked), route(alone(plain), **asked)
    assert [list(a.playlists) for a in drawn] == [list(a.playlists) for a in greedy]
    assert [shown.propensities for shown in memory.shown] == [None]
    assert decode_query(pb.RecommendRequest(**asked)).mode is Mode.DAILY


def test_a_canary_that_fails_is_answered_for_as_production_explores(
    answers: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()
    production = answers("1", history=memory, explorations={Arm.PRODUCTION: EPSILON})
    canary = answers("2", history=memory, explorations={Arm.CANARY: LUCE})

    def fails(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(canary.engine, "rank_known", fails)
    route(Rotation(Assignment(ArmAnswers(production), ArmAnswers(canary), 1.0, "salt")), user_ids=["user-3"])
    (shown,) = memory.shown
    assert (shown.arm, shown.asked and exploration_of(shown.asked)) == ("production", EPSILON)


def test_a_shadow_is_compared_with_what_production_ranks_not_with_what_it_drew(answers: Make) -> None:
    production = answers("1", explorations=BOTH)
    made = Shadow(production, answers("1"), ArmCounter(SHADOW, "1", PLAYLISTS))
    rotation = Rotation(Assignment(ArmAnswers(production), shadow=made))
    drawn = route(rotation, user_ids=USER_IDS)
    wait_until(lambda: made.counts.row().compared > 0, "the shadow has compared")
    assert [list(a.playlists) for a in drawn] != [
        list(a.playlists) for a in route(alone(answers("1")), user_ids=USER_IDS)
    ]
    row = made.counts.row()
    assert (row.listeners, row.overlap, row.drift, row.errors) == (59, 59.0, 0.0, 0)
    made.close()
    assert made.join(30)


def test_kernels_are_compiled_before_the_first_call_where_an_arm_explores(
    answers: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = answers("1", explorations=BOTH, budgets=Budgets(5.0, 5.0, 50_000))
    ranked: list[Any] = []
    explore = kernels.explore

    def counted(*given: Any) -> None:
        ranked.append(given)
        explore(*given)

    monkeypatch.setattr(kernels, "explore", counted)
    made.warm_up()
    assert ranked
    compiled = len(explore_columns.signatures)
    asked = [{"user_ids": ["user-3", f"user-{NO_PAIRING}", "nobody"]}, {"tastes": [TASTE]}, {"user_ids": USER_IDS * 2}]
    before = len(ranked)
    for fields in asked:
        route(alone(made), **fields)
    assert len(ranked) > before + len(asked)
    assert len(explore_columns.signatures) == compiled


def test_what_a_caller_says_of_the_draw_does_not_count() -> None:
    request = pb.RecommendRequest(limit=7)
    request.MergeFromString(LUCE.field)
    asked = asked_of(request)
    assert asked is not None
    assert exploration_of(asked + EPSILON.field) == EPSILON
    assert FIELD not in {field.number for field in pb.RecommendRequest.DESCRIPTOR.fields}


def read(text: str, monkeypatch: pytest.MonkeyPatch, directory: Path) -> ServeSettings:
    monkeypatch.chdir(directory)
    monkeypatch.delenv("BUDDIES_CONFIG", raising=False)
    Path("buddies.toml").write_text(text)
    found: ServeSettings = read_settings(sections()).serve
    return found


def test_settings_name_a_policy_for_each_arm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = """
    [serve.exploration.production]
    policy = "epsilon"
    epsilon = 0.2
    [serve.exploration.canary]
    policy = "plackett_luce"
    temperature = 0.5
    top = 7
    """
    found = explorations_of(read(text, monkeypatch, tmp_path).exploration)
    assert found == {
        Arm.PRODUCTION: Exploration(Policy.EPSILON, 0.2, 20),
        Arm.CANARY: Exploration(Policy.PLACKETT_LUCE, 0.5, 7),
    }
    assert explorations_of(ServeSettings().exploration) == {}
    monkeypatch.setenv("BUDDIES_SERVE__EXPLORATION", '{"canary": {"policy": "epsilon", "epsilon": 1}}')
    assert explorations_of(read("", monkeypatch, tmp_path).exploration) == {
        Arm.CANARY: Exploration(Policy.EPSILON, 1.0, 20)
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[serve.exploration.shadow]\npolicy = 'epsilon'", "serve.exploration.shadow: no such setting"),
        ("[serve.exploration.canary]\npolicy = 'greedy'", r"canary.policy: Input should be 'none', 'epsilon' or"),
        ("[serve.exploration.canary]\nepsilon = 0", "canary.epsilon: Input should be greater than 0"),
        ("[serve.exploration.canary]\nepsilon = 1.1", "canary.epsilon: .* less than or equal to 1, got 1.1"),
        ("[serve.exploration.canary]\ntemperature = inf", "canary.temperature: .* finite number"),
        ("[serve.exploration.canary]\ntemperature = 0.0", "canary.temperature: .* greater than 0"),
        ("[serve.exploration.canary]\ntop = 1", "canary.top: .* greater than or equal to 2"),
        ("[serve.exploration.canary]\ntop = 1001", "canary.top: .* less than or equal to 1000"),
        ("[serve.exploration.canary]\nepsilom = 0.1", "canary.epsilom: no such setting"),
    ],
)
def test_settings_out_of_range_are_refused(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=message):
        read(text, monkeypatch, tmp_path)


def test_arms_differ_by_what_their_policies_use() -> None:
    def differ(production: ArmExploration, canary: ArmExploration) -> bool:
        return ExplorationSettings(production=production, canary=canary).differs

    assert not differ(ArmExploration(epsilon=0.3), ArmExploration())
    assert not differ(
        ArmExploration(policy="epsilon", temperature=3.0), ArmExploration(policy="epsilon", temperature=4.0)
    )
    assert differ(ArmExploration(policy="epsilon"), ArmExploration())
    assert differ(ArmExploration(policy="plackett_luce", top=5), ArmExploration(policy="plackett_luce"))


def test_answers_to_jobs_do_not_explore() -> None:
    explores = ServeSettings(exploration=ExplorationSettings(production=ArmExploration(policy="epsilon")))
    assert explorations_of(explores.exploration)
    assert explorations_of(settings_of(explores).exploration) == {}
