"""The limits of the rollout's drills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from spotify_buddies.clients.drills.framework.account import Window, errors_of, percentile, unsigned
from spotify_buddies.clients.drills.framework.traffic import Call, half_of
from spotify_buddies.clients.drills.rollout import canary, gates, swaps
from spotify_buddies.clients.drills.rollout.driven import Done, followed
from spotify_buddies.clients.drills.rollout.fault_result import FaultResult, counted
from spotify_buddies.clients.drills.rollout.gates import CASES, Decision, Trial
from spotify_buddies.clients.drills.rollout.swaps import ReplicaMemory
from spotify_buddies.clients.python import Arm

GOOD = [Call(due, 0.01, "1", Arm.PRODUCTION) for due in range(100)]
FAILED = Call(50.0, 0.5, error="UNAVAILABLE")
UNSIGNED = Call(50.0, 0.5, "1")
STEADY, MEMORY = Window(100, 0, 0.01, 0.02), ReplicaMemory(2, 800.0, 300.0)


def swapped(calls: list[Call], during: Window = STEADY, after: ReplicaMemory = MEMORY) -> tuple[str, ...]:
    return swaps.judge(calls, STEADY, during, MEMORY, after, expected={"1"})


def test_swaps_at_the_limits_are_no_problem() -> None:
    assert swapped(GOOD, replace(STEADY, p99_s=0.04), ReplicaMemory(2, 848.0, 900.0)) == ()


def test_a_p99_that_nobody_notices_is_no_problem() -> None:
    steady = replace(STEADY, p99_s=0.004)
    for p99_s, few in ((0.02, True), (0.021, False)):
        problems = swaps.judge(GOOD, steady, replace(STEADY, p99_s=p99_s), MEMORY, MEMORY, expected={"1"})
        assert (problems == ()) is few


def test_each_limit_of_the_swaps_is_a_sentence_of_its_own() -> None:
    assert swapped([*GOOD, FAILED]) == ("1 of 101 calls failed ({'UNAVAILABLE': 1})",)
    assert swapped(GOOD, replace(STEADY, p99_s=0.05)) == (
        "p99 is 50.0 ms during the swaps, more than 2 times the 20.0 ms before",
    )
    assert swapped(GOOD, after=ReplicaMemory(2, 849.0, 300.0)) == (
        "the replicas take 849 MiB after the swaps, 800 before; at most 5% and 8 MiB more",
    )
    assert swapped(GOOD, after=ReplicaMemory(3, 800.0, 300.0)) == ("2 replicas before the swaps, 3 afterwards",)
    assert swapped([*GOOD, Call(1.0, 0.1, "9", Arm.PRODUCTION)]) == ("versions 9 answered, and were not asked to",)
    assert swapped([*GOOD, UNSIGNED]) == ("1 answers do not say version and arm",)
    assert swapped([]) == ("no call was answered",)


def test_a_window_counts_the_failed_and_times_the_others() -> None:
    assert Window.of([*GOOD, FAILED]) == Window(101, 1, 0.01, 0.01)
    assert Window.of([]) == Window(0, 0, None, None)
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0


STEPS = (
    canary.Step("10 %", 0.1, 0.105, 0, 5.0, 0.0),
    canary.Step("promote", 1.0, 1.0, 0, 3.0, 3.0),
    canary.Step("rollback", 0.0, 0.0, 0, 1.0, 1.0),
)


def test_a_canary_at_the_limits_is_no_problem() -> None:
    assert canary.judge(GOOD, STEPS, 0, expected={"1"}) == ()


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (replace(STEPS[0], share=0.111), "10 %: 11.10% of the users instead of 10%"),
        (replace(STEPS[0], left=3), "10 %: 3 users left the new version again"),
        (replace(STEPS[2], lingered_s=1.2), "rollback: the new version answered for 1.2 s more, limit 1 s"),
    ],
)
def test_each_limit_of_a_canarys_step_is_a_sentence(step: canary.Step, said: str) -> None:
    steps = tuple(step if one.name == step.name else one for one in STEPS)
    assert canary.judge(GOOD, steps, 0, expected={"1"}) == (said,)


def test_answers_of_other_versions_and_without_an_arm_are_problems_of_a_canary() -> None:
    assert canary.judge([*GOOD, UNSIGNED], STEPS, 2, expected={"1"}) == (
        "3 answers do not name the version and arm that they should have",
    )
    assert canary.judge(GOOD, STEPS, 0, expected={"2"}) == ("versions 1 answered, and were not asked to",)
    assert canary.judge([FAILED, *GOOD], STEPS, 0, expected={"1"}) == ("1 of 101 calls failed ({'UNAVAILABLE': 1})",)
    assert canary.judge([], STEPS, 0, expected={"1"}) == ("no call was answered",)


def gate(name: str, outcome: str) -> Mapping[str, Any]:
    return {"name": name, "outcome": outcome, "message": "", "canary": None, "production": None}


ERRING, SHUFFLED, SAME = CASES
BACK = Decision("rollback", 9.0, "why", (gate("errors", "broken"), gate("p99", "passed")))
TAKEN_BACK = Trial("4", (BACK,), "generation 3: why", {"errors": 0})


def test_gates_that_do_what_they_are_for_are_no_problem() -> None:
    assert gates.judge(ERRING, TAKEN_BACK) == []
    passed = (Decision("set-percent", 10.0, "", (gate("errors", "passed"),)), replace(BACK, action="promote"))
    assert gates.judge(SAME, Trial("5", passed)) == []


def test_each_way_in_which_gates_go_wrong_is_a_sentence() -> None:
    late = replace(TAKEN_BACK, decisions=(replace(BACK, seconds=10.5),))
    assert gates.judge(ERRING, late) == ["erring: rollback after 10.5 s, limit 10 s"]
    assert gates.judge(SHUFFLED, TAKEN_BACK) == ["shuffled: errors broken instead of like rate"]
    assert gates.judge(SAME, TAKEN_BACK) == ["same: the gates' last word is rollback, not promote: why"]
    assert gates.judge(ERRING, replace(TAKEN_BACK, decisions=())) == ["erring: the gates decided nothing within 200 s"]
    assert gates.judge(ERRING, replace(TAKEN_BACK, tag="")) == [
        "erring: version 4 has no tag rollout_rolled_back that says why"
    ]
    assert gates.judge(ERRING, replace(TAKEN_BACK, tally={"errors": 2})) == ["erring: 2 calls of the users failed"]
    silent = replace(TAKEN_BACK, decisions=(replace(BACK, gates=()), BACK))
    assert gates.judge(ERRING, silent) == ["erring: a decision left no event with its figures"]


def test_a_fault_that_may_cost_calls_is_judged_by_share_and_time_and_any_other_by_each_call() -> None:
    harmless = FaultResult("registry killed", "", 1.0)
    assert counted(harmless, GOOD).problems == ()
    assert counted(harmless, [*GOOD, FAILED]).problems == ("1 of 101 calls failed ({'UNAVAILABLE': 1})",)
    assert counted(harmless, []).problems == ("no call was answered",)
    killed = replace(harmless, broken_at=49.0)
    result = counted(killed, [*GOOD, FAILED])
    assert (result.problems, result.requests, result.errors) == ((), 101, {"UNAVAILABLE": 1})
    assert counted(killed, [*GOOD[:10], FAILED]).problems == (
        "1 of 11 calls failed, more than 5% ({'UNAVAILABLE': 1})",
    )
    assert counted(replace(killed, broken_at=30.0), [*GOOD, FAILED]).problems == (
        "calls failed until 20.5 s after the fault, limit 15 s",
    )


def test_a_rate_is_half_of_what_is_answered_within_what_makes_sense() -> None:
    assert [half_of(calls_per_s) for calls_per_s in (10.0, 300.0, 9_000.0)] == [20.0, 150.0, 600.0]
    assert errors_of([*GOOD, FAILED, FAILED]) == {"UNAVAILABLE": 2}
    assert unsigned([*GOOD, FAILED, UNSIGNED]) == 1


def test_a_generation_is_followed_where_replicas_live_and_none_is_behind() -> None:
    assert followed({"replicas": [{"following": 3}, {"following": 4}]}, 3)
    assert not followed({"replicas": [{"following": 3}, {"following": 2}]}, 3)
    assert not followed({"replicas": []}, 3)
    assert Done(0, "", {"number": 3, "at": "2026-01-01T00:00:00+00:00"}, 1_767_225_602.5).seconds == 2.5
