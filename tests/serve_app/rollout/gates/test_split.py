"""The split's test by hand and by simulation, and what a wrong split does to verdicts and to a real ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.special import beta

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation
from spotify_buddies.serve_app.rollout.apply_verdict import apply_verdict
from spotify_buddies.serve_app.rollout.gates.limits import Gate, GateOutcome
from spotify_buddies.serve_app.rollout.gates.read import SETTLED, ReadingState
from spotify_buddies.serve_app.rollout.gates.split import CONCENTRATION, Split, evidence
from spotify_buddies.serve_app.rollout.gates.split_gate import split_gate
from spotify_buddies.serve_app.rollout.gates.verdict import Verdict, VerdictKind
from spotify_buddies.serve_app.settings.gates import GateSettings
from tests.serve_app.rollout.gates.conftest import CANARY, SETTINGS, Connection, ask, fill, live, on
from tests.serve_app.rollout.gates.test_verdict import ARM, COUNTS, GOOD, at, judged

LOST = Split(2_000, 8_000, 0.25)


def test_the_likelihood_ratio_is_the_mixed_one() -> None:
    """Two users of two, p 0.5: B(52, 50) / B(50, 50) / 0.25 = (50 * 51) / (100 * 101) / 0.25."""
    assert CONCENTRATION == 100
    assert np.exp(evidence(2, 0, 0.5)) == pytest.approx(50 * 51 / (100 * 101) / 0.25)
    assert np.exp(evidence(3, 9, 0.25)) == pytest.approx(beta(28, 84) / beta(25, 75) / (0.25**3 * 0.75**9))
    assert evidence(0, 0, 0.01) == 0


def test_evidence_of_an_earlier_look_stays_and_a_share_of_all_users_is_not_tested() -> None:
    assert Split(25, 75, 0.25, peak=9.0).evidence == 9.0
    assert Split(100, 0, 1.0).evidence == 0.0
    assert split_gate(Split(25, 75, 0.25, peak=9.0), GateSettings()).outcome is GateOutcome.BLOCKED


def test_a_right_split_is_seldom_blocked_although_it_is_looked_at_after_every_user() -> None:
    """By Ville's inequality at most alpha of the canaries: of 400, 0.4 at 0.001 and 20 at 0.05."""
    rng = np.random.default_rng(5)
    largest = []
    for share in (0.01, 0.05, 0.25, 0.5):
        canary = np.cumsum(rng.random((100, 10_000)) < share, axis=1)
        largest.append(evidence(canary, np.arange(1, 10_001) - canary, share).max(axis=1))
    reached = np.concatenate(largest)
    assert (reached >= -np.log(0.001)).sum() <= 2
    assert 2 <= (reached >= -np.log(0.05)).sum() <= 20


@pytest.mark.parametrize(("share", "lost", "users"), [(0.5, 0.05, 60_000), (0.25, 0.1, 20_000), (0.05, 0.2, 40_000)])
def test_a_split_that_loses_users_of_one_arm_is_blocked(share: float, lost: float, users: int) -> None:
    rng = np.random.default_rng(6)
    drawn = int((rng.random(users) < share).sum())
    canary = int(rng.binomial(drawn, 1 - lost))
    gate = split_gate(Split(canary, users - drawn, share), GateSettings())
    assert gate.outcome is GateOutcome.BLOCKED
    assert f"{canary:,} of {users - drawn + canary:,} users got the canary" in gate.message


def test_without_users_the_gate_passes() -> None:
    for split in (None, Split(0, 0, 0.25), Split(10, 0, 1.0)):
        assert split_gate(split, GateSettings()).outcome is GateOutcome.PASSED


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_wrong_split_holds_what_would_advance_or_promote(share: float) -> None:
    verdict = judged(at(share), replace(GOOD, split=LOST))
    assert (verdict.kind, verdict.next_share) == (VerdictKind.HOLD, share)
    assert verdict.reason.startswith("split: 2,000 of 10,000 users got the canary, 20.00%; the split says 25.00%")


def test_a_wrong_split_takes_back_no_canary_for_what_compares_the_arms() -> None:
    few = replace(GOOD, canary=replace(ARM, coverage=1))
    assert judged(at(0.25), few).kind is VerdictKind.ROLL_BACK
    assert judged(at(0.25), replace(few, split=LOST)).kind is VerdictKind.HOLD


def test_a_wrong_split_saves_no_canary_that_fails() -> None:
    failing = replace(GOOD, canary=replace(ARM, step=replace(COUNTS, errors=50_000)), split=LOST)
    verdict = judged(at(0.25), failing)
    assert verdict.kind is VerdictKind.ROLL_BACK
    assert verdict.reason.startswith("errors: ")


def test_a_wrong_split_does_not_outlast_the_canary() -> None:
    late = at(0.25, canary_s=SETTINGS.max_canary_s + 1)
    assert judged(late, replace(GOOD, split=LOST)).kind is VerdictKind.ROLL_BACK


def test_lists_in_postgres_are_counted_by_user_and_a_wrong_split_is_an_event_once(postgres_url: str) -> None:
    async def work(connection: Connection) -> list[str]:
        await connection.execute("TRUNCATE impressions")
        generation = await live(connection, CANARY)
        await fill(connection, generation.number, canary_likes=4)
        began = datetime.now(UTC) - timedelta(minutes=5)
        await connection.execute("UPDATE rollout_generations SET decided_at = %s", (began,))
        await show(connection, "canary", "2", 1_200, began + timedelta(minutes=1), times=3)
        await show(connection, "production", "1", 3_600, began + timedelta(minutes=1), times=2)
        # While the canary cannot answer, production answers its users.
        await show(connection, "production", "1", 300, began + timedelta(minutes=1), prefix="canaryu")
        # Before all replicas follow, of another version, without an id: none counts.
        await show(connection, "production", "1", 4_000, began + SETTLED / 2, prefix="early")
        await show(connection, "production", "9", 4_000, began + timedelta(minutes=1), prefix="old")
        await show(connection, "production", "1", 1, began + timedelta(minutes=1), prefix="")
        verdict = await ask(connection, generation)
        assert (verdict.kind, gate(verdict).canary) == (VerdictKind.ADVANCE, 0.25)
        await show(connection, "production", "1", 1_000, began + timedelta(minutes=2), prefix="more")
        reading, active = ReadingState(), await ledger.read_newest(connection)
        assert active is not None

        async def judge(connection: Connection, active: Generation) -> Verdict:
            return await ask(connection, active, reading)

        for _ in range(3):
            assert await apply_verdict(connection, "m", active, judge) is False
        return [event.kind for event in await ledger.read_events(connection)]

    assert on(postgres_url, work) == ["blocked"]


def gate(verdict: Verdict) -> Gate:
    return next(one for one in verdict.gates if one.name == "split")


async def show(
    connection: Connection, arm: str, version: str, users: int, when: datetime, *, prefix: str = "u", times: int = 1
) -> None:
    await connection.execute(
        "INSERT INTO impressions (at, recommendation_id, user_id, playlist_ids, model_version, arm, source)"
        " SELECT %s, 'r', CASE WHEN %s = '' THEN '' ELSE %s || user_number END, '{}', %s, %s, 'live'"
        " FROM generate_series(1, %s) AS user_number, generate_series(1, %s)",
        (when, prefix, prefix if prefix == "canaryu" else f"{arm}{prefix}", version, arm, users, times),
    )
