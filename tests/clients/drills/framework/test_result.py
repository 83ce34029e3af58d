"""Results of drills: limits, JSON, and the table that people read."""

from dataclasses import replace

from spotify_buddies.clients.drills.framework.result import DrillResult, FaultCost, Limits, judge, text

GOOD = DrillResult("replica", 100, 5, {"known UNKNOWN": 5}, FaultCost(recovery_s=3.0, healed_s=2.0))
LIMITS = Limits(failed=0.05, recovery_s=3.0)


def costing(**values: object) -> DrillResult:
    assert GOOD.cost is not None
    return replace(GOOD, cost=replace(GOOD.cost, **values))  # type: ignore[arg-type]


def test_what_stays_at_the_limits_is_no_problem() -> None:
    assert judge(GOOD, LIMITS) == ()


def test_one_failed_call_more_is_a_problem_that_names_the_statuses() -> None:
    failed = replace(GOOD, failed=6)
    assert judge(failed, LIMITS) == ("6 of 100 calls failed, more than 5% ({'known UNKNOWN': 5})",)


def test_lost_feedback_is_a_problem_whatever_the_limits() -> None:
    assert judge(costing(lost=1), Limits(1.0, 1e9)) == ("1 acknowledged feedback is not stored",)


def test_a_late_recovery_a_part_that_stays_away_and_no_traffic_are_problems() -> None:
    assert judge(costing(recovery_s=3.5), LIMITS) == ("calls failed until 3.5 s after the fault, limit 3 s",)
    assert judge(costing(healed_s=None), LIMITS) == ("the broken part did not come back",)
    assert judge(replace(GOOD, requests=0, failed=0), LIMITS) == ("no call was made",)


def test_a_drill_that_cannot_run_here_has_neither_passed_nor_failed() -> None:
    skipped = DrillResult("disk", cost=FaultCost(), skipped="it takes root")
    assert (skipped.passed, skipped.problems, skipped.plain()["passed"]) == (False, (), False)
    assert skipped.verdict == "skipped: it takes root"
    assert "skipped: it takes root" in text([skipped])


def test_a_fault_has_its_cost_in_json_and_any_other_drill_its_figures() -> None:
    common = {"name", "requests", "failed", "errors", "problems", "skipped", "passed"}
    cost = {"degraded", "acknowledged", "lost", "recovery_s", "healed_s", "slowest_s", "note"}
    assert GOOD.plain().keys() == common | cost
    swaps = DrillResult("swaps", figures={"calls_per_s": 1.0})
    assert swaps.plain().keys() == common | {"figures"}
    assert swaps.plain()["figures"] == {"calls_per_s": 1.0}


def test_the_table_has_a_line_for_each_drill_and_details_follow() -> None:
    swaps = DrillResult("swaps", 7, figures={}, lines=("a table",), problems=("slow",))
    said = text([GOOD, swaps]).splitlines()
    assert said[1].split() == ["replica", "100", "5", "0", "0", "3.0", "s", "2.0", "s", "0.00", "s", "passed"]
    assert said[2].split() == ["swaps", "7", "0", "-", "-", "-", "-", "-", "slow"]
    assert said[3:] == ["", "swaps: 7 calls, 0 failed", "a table", "swaps: slow"]
