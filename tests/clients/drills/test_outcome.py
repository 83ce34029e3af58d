from spotify_buddies.clients.drills.outcome import Limits, Outcome, judge, table

GOOD = Outcome("replica", requests=100, failed=5, recovery_s=3.0, healed_s=2.0, errors={"known UNKNOWN": 5})
LIMITS = Limits(failed=0.05, recovery_s=3.0)


def changed(**values: object) -> Outcome:
    return Outcome(**{**GOOD.__dict__, **values})  # type: ignore[arg-type]


def test_what_stays_at_the_limits_is_no_problem() -> None:
    assert judge(GOOD, LIMITS) == ()


def test_one_failed_call_more_is_a_problem_that_names_the_statuses() -> None:
    assert judge(changed(failed=6), LIMITS) == ("6 of 100 calls failed, more than 5% ({'known UNKNOWN': 5})",)


def test_lost_feedback_is_a_problem_whatever_the_limits() -> None:
    assert judge(changed(lost=1), Limits(1.0, 1e9)) == ("1 acknowledged feedback is not stored",)


def test_a_late_recovery_a_part_that_stays_away_and_no_traffic_are_problems() -> None:
    assert judge(changed(recovery_s=3.5), LIMITS) == ("calls failed until 3.5 s after the fault, limit 3 s",)
    assert judge(changed(healed_s=None), LIMITS) == ("the broken part did not come back",)
    assert judge(changed(requests=0, failed=0), LIMITS) == ("no call was made",)


def test_a_drill_that_cannot_run_here_has_neither_passed_nor_failed() -> None:
    skipped = Outcome("disk", skipped="it takes root")
    assert (skipped.passed, skipped.problems) == (False, ())
    assert "skipped: it takes root" in table([skipped])


def test_the_table_has_a_line_for_each_drill() -> None:
    assert table([GOOD]).splitlines()[2] == "| replica | 100 | 5 | 0 | 0 | 3.0 s | 2.0 s | 0.00 s | passed |"
