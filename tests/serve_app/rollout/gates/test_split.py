"""The split of listeners: its test, and the block on a real Postgres."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, Wanted
from spotify_buddies.serve_app.rollout.apply_verdict import apply_verdict
from spotify_buddies.serve_app.rollout.gates.judge import watching
from spotify_buddies.serve_app.rollout.gates.limits import GateOutcome
from spotify_buddies.serve_app.rollout.gates.listeners import Split, log_evidence
from spotify_buddies.serve_app.rollout.gates.measures import StepCounts
from spotify_buddies.serve_app.rollout.gates.read_split import read_split
from spotify_buddies.serve_app.rollout.gates.split import split_gate
from spotify_buddies.serve_app.rollout.gates.verdict import VerdictKind
from spotify_buddies.serve_app.versions.arms import canaries
from tests.serve_app.rollout.gates.conftest import CANARY, EDGES_MS, SETTINGS, Connection, ask, count, fill, live, on

ALPHA = 0.001
IDS = [f"listener-{number}" for number in range(20_000)]


@pytest.mark.parametrize(("canary", "listeners", "share", "evidence"), [
    (0, 0, 0.5, 1.0),
    (1, 1, 0.5, 1.0),
    (2, 2, 0.5, 1002 / 1001),
    (1, 2, 0.5, 1000 / 1001),
    (3, 3, 0.25, 250 * 251 * 252 / (1000 * 1001 * 1002) * 4**3),
    (0, 2, 0.25, 750 * 751 / (1000 * 1001) / 0.75**2),
])  # fmt: skip
def test_the_evidence_is_as_worked_out_by_hand(canary: int, listeners: int, share: float, evidence: float) -> None:
    assert math.exp(log_evidence(canary, listeners, share)) == pytest.approx(evidence, rel=1e-9)


def test_the_evidence_stays_the_same_on_average_with_one_more_listener() -> None:
    for canary, listeners, share in ((3, 40, 0.05), (600, 1_000, 0.5), (0, 7, 0.25)):
        more, less = (math.exp(log_evidence(canary + one, listeners + 1, share)) for one in (1, 0))
        now = math.exp(log_evidence(canary, listeners, share))
        assert share * more + (1 - share) * less == pytest.approx(now, rel=1e-9)


def peak(salt: str, share: float, keep: float = 1.0, other: str = "") -> float:
    """The largest evidence over every listener of the real split. keep: of the canary's. other: a second salt."""
    mine = canaries(IDS, salt, share)
    if other:
        mine |= canaries(IDS, other, share)
    rng = np.random.default_rng(len(salt))
    seen = mine[~mine | (rng.random(len(mine)) < keep)]
    return float(log_evidence(seen.cumsum(), np.arange(1, len(seen) + 1), share).max())


def test_a_right_split_looked_at_after_every_listener_is_not_called_wrong() -> None:
    alarms = [peak(f"salt-{run}", (0.01, 0.05, 0.25, 0.5)[run % 4]) >= -math.log(ALPHA) for run in range(200)]
    assert sum(alarms) == 0


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5])
def test_lost_lists_and_a_second_salt_are_found(share: float) -> None:
    found = -math.log(ALPHA)
    assert peak("s", share, keep=0.0) > found
    assert peak("s", share, keep=0.6) > found
    assert peak("s", share, other="t") > found


def test_a_mismatch_is_said_with_its_numbers_and_stays_for_the_step() -> None:
    gate = split_gate(Split(400, 1_000, 3, float(log_evidence(400, 1_000, 0.5))), 0.5, ALPHA)
    assert gate.outcome is GateOutcome.BLOCKED
    assert (
        "sample ratio mismatch, no verdict: 400 of 1,000 listeners had the canary, 40.00% instead of 50.00% (-100)"
        in (gate.message)
    )
    assert split_gate(Split(500, 1_000, 0, 20.0), 0.5, ALPHA).outcome is GateOutcome.BLOCKED
    assert split_gate(Split(490, 1_000), 0.5, ALPHA).outcome is GateOutcome.PASSED
    assert split_gate(Split(), 0.5, ALPHA).outcome is GateOutcome.PASSED


async def show(connection: Connection, arm: str, version: str, users: range, seconds_ago: float = 60) -> None:
    await connection.execute(
        "INSERT INTO impressions (at, recommendation_id, user_id, playlist_ids, model_version, arm, source)"
        " SELECT now() - %s * interval '1 second', 'r', 'u' || number, '{a}', %s, %s, 'live'"
        " FROM generate_series(%s::int, %s) AS number", (seconds_ago, version, arm, users.start, users.stop - 1),
    )  # fmt: skip


async def started(connection: Connection) -> Generation:
    await connection.execute("TRUNCATE impressions")
    await live(connection, CANARY)
    await connection.execute("UPDATE rollout_generations SET decided_at = now() - interval '2 minutes'")
    found = await ledger.read_newest(connection)
    assert found is not None
    return found


def test_a_listener_counts_once_and_who_had_both_arms_is_the_canarys(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await started(connection)
        for _ in range(5):
            await show(connection, "canary", "2", range(10))
        await show(connection, "production", "1", range(8, 40))
        await show(connection, "production", "7", range(50, 60))
        await show(connection, "canary", "2", range(60, 70), seconds_ago=200)
        await show(connection, "canary", "2", range(70, 80), seconds_ago=1)
        found = await read_split(connection, generation, datetime.now(UTC) - timedelta(seconds=120), Split())
        assert (found.canary, found.listeners, found.both) == (10, 40, 2)
        assert (await read_split(connection, generation, datetime.now(UTC), Split(peak=3.0))) == Split(peak=3.0)

    on(postgres_url, work)


def test_a_wrong_split_holds_says_so_once_and_a_new_controller_knows(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await started(connection)
        await fill(connection, generation.number, canary_likes=2)
        await show(connection, "canary", "2", range(100))
        await show(connection, "production", "1", range(100, 1_000))
        verdict = await ask(connection, generation)
        assert verdict.kind is VerdictKind.HOLD, "the like rate alone would roll back"
        assert verdict.reason.startswith("split: sample ratio mismatch, no verdict: 100 of 1,000 listeners")
        look = watching(SETTINGS, EDGES_MS)
        for _ in range(3):
            assert await apply_verdict(connection, "m", generation, look) is False
        assert [event.kind for event in await ledger.read_events(connection)] == ["blocked"]
        # The lists look right again, but those who were missing are still missing from the likes.
        await show(connection, "canary", "2", range(1_000, 1_200))
        assert (await ask(connection, generation)).kind is VerdictKind.HOLD
        paused = await live(connection, Wanted("1", canary="2", share=0.25, salt="s", shadow="3"))
        assert (await ask(connection, paused)).kind is VerdictKind.HOLD, "the same step"
        anew = await live(connection, Wanted("1", canary="2", share=0.25, salt="another"))
        gates = {gate.name: gate.outcome for gate in (await ask(connection, anew)).gates}
        assert gates["split"] is GateOutcome.PASSED, "another salt begins anew"

    on(postgres_url, work)


def test_a_canary_that_fails_is_rolled_back_whatever_its_split(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await started(connection)
        await show(connection, "production", "1", range(1_000))
        await count(connection, generation.number, "canary", "2", StepCounts(errors=50), [])
        verdict = await ask(connection, generation)
        assert verdict.kind is VerdictKind.ROLL_BACK
        assert verdict.reason.startswith("recent errors: the canary failed 50 of 50 users")
        assert {gate.name: gate.outcome for gate in verdict.gates}["split"] is GateOutcome.BLOCKED

    on(postgres_url, work)


def test_a_right_split_goes_on_and_the_gate_can_be_left_out(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await started(connection)
        await fill(connection, generation.number, canary_likes=4)
        await show(connection, "canary", "2", range(250))
        await show(connection, "production", "1", range(250, 1_000))
        assert (await ask(connection, generation)).kind is VerdictKind.ADVANCE
        await show(connection, "production", "1", range(2_000, 4_000))
        assert (await ask(connection, generation)).kind is VerdictKind.HOLD
        without = SETTINGS.model_copy(update={"split_gate": False})
        assert (await ask(connection, generation, settings=without)).kind is VerdictKind.ADVANCE

    on(postgres_url, work)
