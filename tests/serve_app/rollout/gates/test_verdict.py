"""Verdicts at the edges of steps, samples and times."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from spotify_buddies.serve_app.rollout.gates.listeners import Split
from spotify_buddies.serve_app.rollout.gates.measures import ArmFigures, Measures, StepCounts
from spotify_buddies.serve_app.rollout.gates.sequential import LikeRates, Likes, StepLikes
from spotify_buddies.serve_app.rollout.gates.verdict import Position, Verdict, VerdictKind, decide
from spotify_buddies.serve_app.settings.gates import GateSettings

SETTINGS = GateSettings(min_step_s=60, min_answers=100, max_canary_s=3_600)
EDGES_MS = (10.0,)
COUNTS = StepCounts(answers=100_000, latencies=(100_000, 0))
SURE = Likes(100_000, 20_000.0, 20_000.0, 500_000)
ARM = ArmFigures(COUNTS, coverage=500)
GOOD = Measures(ARM, ARM, EDGES_MS, LikeRates((StepLikes(SURE, SURE),), (), 100_000, 100_000))
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def at(share: float, *, step_s: float = 60, canary_s: float = 600, paused: bool = False) -> Position:
    return Position(share, NOW - timedelta(seconds=canary_s), NOW - timedelta(seconds=step_s), paused)


def judged(position: Position, measures: Measures = GOOD, settings: GateSettings = SETTINGS) -> Verdict:
    return decide(measures, position, settings, NOW)


@pytest.mark.parametrize(("share", "following"), [(0.01, 0.05), (0.05, 0.25), (0.1, 0.25), (0.25, 0.5), (0.3, 0.5)])
def test_a_good_canary_goes_to_the_next_step(share: float, following: float) -> None:
    verdict = judged(at(share))
    assert (verdict.kind, verdict.next_share, verdict.is_applied) == (VerdictKind.ADVANCE, following, True)


@pytest.mark.parametrize("share", [0.5, 0.75, 1.0])
def test_a_canary_in_the_last_step_becomes_production(share: float) -> None:
    verdict = judged(at(share))
    assert (verdict.kind, verdict.next_share) == (VerdictKind.PROMOTE, 1.0)
    assert "100,000 answers" in verdict.reason
    assert "like rate 0.2000" in verdict.reason


def test_a_step_lasts_its_time_and_its_answers() -> None:
    early = judged(at(0.05, step_s=59))
    assert (early.kind, early.next_share, early.reason) == (VerdictKind.HOLD, 0.05, "59 s of 60 s in this step")
    few = replace(ARM, step=replace(COUNTS, answers=99))
    assert judged(at(0.05), replace(GOOD, canary=few)).reason == "99 of 100 answers in this step"


def test_the_last_step_asks_for_likes_and_the_ones_before_do_not() -> None:
    unknown = Measures(ARM, ARM, EDGES_MS)
    assert judged(at(0.25), unknown).kind is VerdictKind.ADVANCE
    last = judged(at(0.5), unknown)
    assert last.kind is VerdictKind.HOLD
    assert "users reacted" in last.reason
    without = judged(at(0.5), unknown, SETTINGS.model_copy(update={"like_gate": False}))
    assert without.kind is VerdictKind.PROMOTE


def test_a_broken_gate_rolls_back_before_the_step_has_its_time() -> None:
    failing = replace(GOOD, canary=replace(ARM, recent=StepCounts(errors=10)))
    verdict = judged(at(0.1, step_s=1), failing)
    assert (verdict.kind, verdict.next_share) == (VerdictKind.ROLL_BACK, 0.0)
    assert verdict.reason.startswith("recent errors: the canary failed 10 of 10 users")


def test_nothing_is_decided_in_a_pause() -> None:
    failing = replace(GOOD, canary=replace(ARM, recent=StepCounts(errors=10)))
    for measures in (GOOD, failing):
        verdict = judged(at(0.1, paused=True), measures)
        assert (verdict.kind, verdict.next_share) == (VerdictKind.HOLD, 0.1)


def test_manual_verdicts_are_worked_out_and_not_acted_on() -> None:
    verdict = judged(at(0.25), settings=SETTINGS.model_copy(update={"manual": True}))
    assert (verdict.kind, verdict.is_applied) == (VerdictKind.ADVANCE, False)


def test_json_of_a_verdict_keeps_its_public_names() -> None:
    values = judged(at(0.25), settings=SETTINGS.model_copy(update={"manual": True})).to_json()
    assert list(values) == ["kind", "reason", "gates", "share", "next_share", "at", "acts"]
    assert values["acts"] is False


def test_a_canary_that_takes_too_long_goes_back_or_stays_as_asked() -> None:
    unknown = Measures(ARM, ARM, EDGES_MS)
    late = at(0.5, canary_s=3_600)
    assert judged(late, unknown).kind is VerdictKind.ROLL_BACK
    assert judged(late, unknown).reason.startswith("not shown to be as good within 3600 s: like rate")
    assert judged(late, unknown, SETTINGS.model_copy(update={"on_timeout": "hold"})).kind is VerdictKind.HOLD
    assert judged(late).kind is VerdictKind.PROMOTE, "it was shown at the last moment"
    assert judged(at(0.25, canary_s=3_600)).kind is VerdictKind.ROLL_BACK, "there are more steps and no time for them"


def test_a_verdict_is_json_with_every_gate() -> None:
    body = judged(at(0.25)).to_json()
    assert (body["kind"], body["share"], body["next_share"]) == ("advance", 0.25, 0.5)
    assert [gate["name"] for gate in body["gates"]] == [
        "recent errors", "errors", "p99", "cold", "empty", "coverage", "like rate", "split"
    ]  # fmt: skip
    assert {gate["outcome"] for gate in body["gates"]} == {"passed"}
    assert body["at"] == "2026-05-01T00:00:00+00:00"


@pytest.mark.parametrize("steps", [(), (5, 1, 100), (0, 100), (1, 50), (10, 10, 100)])
def test_steps_that_do_not_lead_to_all_users_are_refused(steps: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="ascend"):
        GateSettings(steps=steps)


def test_the_first_reactions_of_each_step_are_a_stratum_of_their_own() -> None:
    first, second, third = NOW, NOW + timedelta(hours=3), NOW + timedelta(hours=3, minutes=30)
    position = Position(0.25, first, third, starts=(first, second, third))
    hour = timedelta(hours=1)
    assert position.strata(3_600) == (first, first + hour, second, third, third + hour), "the second is over before"


def test_a_wrong_split_holds_what_compares_listeners_and_not_what_says_that_the_canary_fails() -> None:
    wrong = replace(GOOD, split=Split(100, 1_000, 0, 20.0))
    assert judged(at(0.25), wrong).kind is VerdictKind.HOLD
    assert judged(at(0.5), wrong).kind is VerdictKind.HOLD
    cold = replace(wrong, canary=replace(ARM, step=replace(COUNTS, cold=90_000)))
    assert judged(at(0.25), cold).kind is VerdictKind.HOLD
    assert judged(at(0.25), replace(cold, split=Split())).kind is VerdictKind.ROLL_BACK
    empty = replace(wrong, canary=replace(ARM, step=replace(COUNTS, empty=90_000)))
    assert judged(at(0.25), empty).reason.startswith("empty: ")
    assert judged(at(0.25, canary_s=3_600), wrong).kind is VerdictKind.ROLL_BACK, "its time is over all the same"
