"""Thresholds: figures that break them, figures that do not, and figures that are too few."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spotify_buddies.serve_app.rollout.gates.latency import compare_sizes
from spotify_buddies.serve_app.rollout.gates.likes import like_gate
from spotify_buddies.serve_app.rollout.gates.limits import Gate, GateOutcome, lower, thresholds, upper
from spotify_buddies.serve_app.rollout.gates.measures import (
    ArmFigures,
    Measures,
    StepCounts,
    independent_calls,
    quantile_ms,
    slower,
)
from spotify_buddies.serve_app.rollout.gates.sequential import LikeRates, Likes, StepLikes
from spotify_buddies.serve_app.settings.gates import GateSettings

SETTINGS = GateSettings()
EDGES_MS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
FAST = (0, 5_000, 4_950, 50, 0, 0, 0)
CALM = StepCounts(answers=10_000, errors=5, empty=10, cold=1_000, latencies=FAST)
GOOD = ArmFigures(CALM, coverage=900)


def gates(canary: ArmFigures, production: ArmFigures = GOOD) -> dict[str, Gate]:
    return {gate.name: gate for gate in thresholds(Measures(canary, production, EDGES_MS), SETTINGS)}


def broken(canary: ArmFigures, production: ArmFigures = GOOD) -> list[str]:
    return [name for name, gate in gates(canary, production).items() if gate.outcome is GateOutcome.BROKEN]


def test_bounds_enclose_what_was_counted() -> None:
    assert (lower(0, 10), upper(10, 10)) == (0.0, 1.0)
    assert (lower(0, 0), upper(0, 0)) == (0.0, 1.0)
    # All of n: p^n = 1e-4 at the bound, 0.0001^(1/10) = 0.398.
    assert lower(10, 10) == pytest.approx(0.398, abs=1e-3)
    assert upper(0, 10) == pytest.approx(1 - 0.398, abs=1e-3)
    assert lower(50, 100) < 0.5 < upper(50, 100)


def test_equal_arms_break_nothing() -> None:
    found = gates(GOOD)
    assert [gate.outcome for gate in found.values()] == [GateOutcome.PASSED] * 6


def test_ten_calls_that_all_fail_are_enough_and_nine_are_not() -> None:
    assert broken(ArmFigures(StepCounts(errors=10))) == ["errors"]
    assert broken(ArmFigures(StepCounts(errors=9))) == []


def test_errors_that_began_just_now_count_although_hours_went_well() -> None:
    assert broken(replace(GOOD, recent=StepCounts(answers=20, errors=20))) == ["recent errors"]


def test_two_of_ten_may_fail_by_chance() -> None:
    assert broken(ArmFigures(StepCounts(answers=8, errors=2))) == []


def test_a_canary_that_fails_as_production_does_is_judged_by_the_absolute_limit_alone() -> None:
    failing = StepCounts(answers=9_700, errors=300, latencies=FAST)
    assert broken(replace(GOOD, step=failing), replace(GOOD, step=failing)) == []
    assert broken(replace(GOOD, step=failing)) == ["errors"]
    worse = StepCounts(answers=9_000, errors=1_000, latencies=FAST)
    assert broken(replace(GOOD, step=worse), replace(GOOD, step=worse)) == ["errors"]


def calls_of(users: int, *, answered: int, failed: int = 0, empty: int = 0, cold: int = 0) -> StepCounts:
    """Calls of so many users each; empty, cold: calls whose users all got no list, or a cold one."""
    squares = users * users
    return StepCounts(
        answered * users, failed * users, empty * users, cold * users, FAST,
        asked_squares=(answered + failed) * squares, answered_squares=answered * squares,
    )  # fmt: skip


def test_one_failed_call_of_500_users_is_one_failure() -> None:
    calm = calls_of(1, answered=10_000)
    for counts in (calls_of(500, answered=0, failed=1), calls_of(500, answered=30, failed=1)):
        assert broken(ArmFigures(counts, recent=counts), ArmFigures(calm)) == []
    failing = calls_of(500, answered=0, failed=10)
    assert broken(ArmFigures(failing, recent=failing), ArmFigures(calm)) == ["recent errors", "errors"]


def test_a_failed_call_of_500_users_among_many_of_one_is_no_certainty() -> None:
    # A third of all users, in one call.
    mixed = StepCounts(1_000, 500, latencies=FAST, asked_squares=1_000 + 500**2, answered_squares=1_000)
    assert broken(ArmFigures(mixed, recent=mixed)) == []
    assert "1,500 users, who count as 9 calls" in gates(ArmFigures(mixed))["errors"].message


def test_cold_and_empty_users_of_one_call_are_one_observation() -> None:
    base = ArmFigures(calls_of(1, answered=10_000))
    for counts in (calls_of(500, answered=4, cold=1, empty=1), calls_of(500, answered=20, cold=2, empty=2)):
        assert broken(ArmFigures(counts), base) == []
    many = calls_of(500, answered=200, cold=100, empty=40)
    assert broken(ArmFigures(many), base) == ["cold", "empty"]


def test_users_are_worth_as_many_calls_as_they_came_in_and_never_more() -> None:
    assert independent_calls(0, 0) == 0
    assert independent_calls(7, None) == independent_calls(7, 7) == 7
    assert independent_calls(5_000, 10 * 500**2) == 10
    assert independent_calls(10, 3) == 10, "squares of a call that is being counted are late"
    late = StepCounts(10, 20, asked_squares=500).since(StepCounts(5, 0, asked_squares=100))
    assert (late.asked, late.asked_squares) == (25, 400)


def sized(**calls: tuple[int, ...]) -> tuple[int, ...]:
    """Latencies of eleven size classes; c0=, c3=, ..: counts of a class."""
    return tuple(count for size in range(11) for count in calls.get(f"c{size}", (0,) * (len(EDGES_MS) + 1)))


def test_latencies_are_compared_between_calls_of_like_sizes() -> None:
    # Half of the calls are of one user, half of 500 that a canary of 50 % and one of 5 % share with production.
    small, large = (0, 5_000, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0, 5_000)
    production = replace(GOOD, step=replace(CALM, latencies=sized(c0=small, c9=large)))
    same = replace(GOOD, step=replace(CALM, latencies=sized(c0=(0, 250, 0, 0, 0, 0, 0), c9=large)))
    assert gates(same, production)["p99"].outcome is GateOutcome.PASSED
    # All of production's large calls are with the canary: together it looks slower, and each class is as fast.
    rare = replace(GOOD, step=replace(CALM, latencies=sized(c0=(0, 300_000, 0, 0, 0, 0, 0), c9=(*large[:-1], 1_500))))
    assert gates(same, rare)["p99"].outcome is GateOutcome.PASSED
    slow = replace(GOOD, step=replace(CALM, latencies=sized(c0=(0, 0, 0, 0, 0, 5_000, 0))))
    assert gates(slow, production)["p99"].outcome is GateOutcome.BROKEN, "production's large calls excuse no small one"


def test_a_class_without_calls_of_production_is_compared_with_the_next_larger_ones() -> None:
    ten, slow = (0, 10, 0, 0, 0, 0, 0), (0, 0, 0, 10, 0, 0, 0)
    seen = compare_sizes(sized(c2=ten, c5=ten, c10=ten), sized(c1=ten, c4=ten, c5=slow), EDGES_MS, 20)
    assert (seen.calls, seen.comparable, seen.canary_ms) == (30, 10, pytest.approx(1.99))
    # Class 2 takes 10 calls up to 2 ms of class 4 and 10 up to 8 ms of class 5; class 5 has too few, class 10 none.
    assert seen.production_ms == pytest.approx(8 - 4 * 0.02)
    assert compare_sizes((), sized(c1=ten), EDGES_MS, 1).canary_ms is None


def test_a_canary_of_most_users_passes_without_calls_of_its_sizes() -> None:
    large, small = sized(c9=(0, 0, 5_000, 0, 0, 0, 0)), sized(c7=(0, 5_000, 0, 0, 0, 0, 0))
    most, rest = (
        replace(GOOD, step=replace(CALM, answers=n, latencies=ms)) for n, ms in ((40_000, large), (9_000, small))
    )
    assert gates(most, rest)["p99"].outcome is GateOutcome.PASSED
    few = replace(most, step=replace(most.step, answers=8_000))
    assert gates(few, rest)["p99"].outcome is GateOutcome.WAITING


def test_a_slower_tail_breaks_p99_and_a_slower_middle_within_the_limit_does_not() -> None:
    # Production's p99: 9,900 of 10,000 calls are within 4 ms; the limit is 3.98 * 1.5 + 5 = 11 ms.
    assert quantile_ms(FAST, EDGES_MS, 0.99) == pytest.approx(3.98, abs=0.01)
    assert broken(replace(GOOD, step=replace(CALM, latencies=(0, 0, 0, 9_700, 0, 300, 0)))) == ["p99"]
    assert broken(replace(GOOD, step=replace(CALM, latencies=(0, 0, 0, 9_950, 0, 50, 0)))) == []


def test_p99_waits_for_calls_of_both_arms() -> None:
    few = replace(GOOD, step=replace(CALM, latencies=(0, 0, 0, 0, 0, 0, 20)))
    assert gates(few)["p99"].outcome is GateOutcome.WAITING
    assert gates(GOOD, few)["p99"].outcome is GateOutcome.WAITING
    assert gates(ArmFigures())["p99"].outcome is GateOutcome.WAITING


def test_more_cold_users_and_more_empty_lists_break_their_gates() -> None:
    assert broken(replace(GOOD, step=replace(CALM, cold=2_500))) == ["cold"]
    assert broken(replace(GOOD, step=replace(CALM, cold=1_500))) == []
    assert broken(replace(GOOD, step=replace(CALM, empty=400))) == ["empty"]


def test_coverage_is_asked_for_in_the_measure_of_the_answers() -> None:
    assert broken(replace(GOOD, coverage=600)) == ["coverage"]  # 0.7 of 900 is 630
    assert broken(replace(GOOD, coverage=640)) == []
    fifth = ArmFigures(
        StepCounts(answers=2_000, latencies=FAST), coverage=130
    )  # a fifth of the answers: 0.7 * 0.2 * 900 = 126
    assert broken(fifth) == []
    assert broken(replace(fifth, coverage=120)) == ["coverage"]
    assert gates(ArmFigures(StepCounts(answers=10), coverage=1))["coverage"].outcome is GateOutcome.WAITING


def test_latency_counts_that_do_not_fit_their_edges_are_refused() -> None:
    with pytest.raises(ValueError, match="one more than edges"):
        quantile_ms((1, 2), EDGES_MS, 0.5)
    assert quantile_ms((), EDGES_MS, 0.5) is None
    assert quantile_ms((0,) * 7, EDGES_MS, 0.5) is None
    assert quantile_ms((0, 0, 0, 0, 0, 0, 3), EDGES_MS, 0.5) == 32.0
    assert slower((1, 1, 1, 1, 1, 1, 1), EDGES_MS, 8.0) == 3


def likes(rate: float, users: int) -> Likes:
    """Users who like all or nothing."""
    return Likes(users, rate * users, rate * users, 10 * users)


def judged(canary: Likes, production: Likes, *, last: bool) -> Gate:
    rates = LikeRates((StepLikes(canary, production),), (), canary.users, production.users)
    return like_gate(Measures(ArmFigures(), ArmFigures(), likes=rates), SETTINGS, last=last)


def test_a_worse_like_rate_goes_back_at_any_step() -> None:
    for last in (False, True):
        gate = judged(likes(0.1, 2_000), likes(0.2, 2_000), last=last)
        assert gate.outcome is GateOutcome.BROKEN
        assert "worse, p" in gate.message


def test_the_last_step_waits_until_the_like_rate_is_surely_not_worse() -> None:
    assert judged(likes(0.2, 2_000), likes(0.2, 2_000), last=False).outcome is GateOutcome.PASSED
    assert judged(likes(0.2, 2_000), likes(0.2, 2_000), last=True).outcome is GateOutcome.WAITING
    assert judged(likes(0.2, 200_000), likes(0.2, 200_000), last=True).outcome is GateOutcome.PASSED


def test_few_users_say_nothing_about_likes() -> None:
    assert judged(likes(0.0, 99), likes(1.0, 5_000), last=False).outcome is GateOutcome.PASSED
    assert judged(likes(0.0, 99), likes(1.0, 5_000), last=True).outcome is GateOutcome.WAITING


def test_reactions_that_are_all_likes_do_not_promote() -> None:
    gate = judged(likes(1.0, 10_000), likes(1.0, 10_000), last=True)
    assert gate.outcome is GateOutcome.WAITING
    assert "`ignored`" in gate.message
