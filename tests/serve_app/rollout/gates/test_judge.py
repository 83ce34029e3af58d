"""Judging on a real Postgres: from the counts of replicas and the reactions of users to a verdict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import GenerationState, Wanted
from spotify_buddies.serve_app.rollout.gates.judge import judge, watching
from spotify_buddies.serve_app.rollout.gates.measures import StepCounts
from spotify_buddies.serve_app.rollout.gates.read import ReadingState
from spotify_buddies.serve_app.rollout.gates.verdict import Verdict, VerdictKind
from spotify_buddies.serve_app.versions.counts import EDGES_MS as COUNTED_MS
from spotify_buddies.serve_app.versions.counts import ArmCounter
from tests.serve_app.rollout.gates.conftest import (
    CANARY,
    EDGES_MS,
    SETTINGS,
    Connection,
    ask,
    count,
    fill,
    live,
    on,
    react,
)


def test_an_equal_canary_is_not_rolled_back_because_all_like_rates_fall_while_it_grows(postgres_url: str) -> None:
    async def work(connection: Connection) -> Verdict:
        now, number = datetime.now(UTC), 0
        for share, hours, likes in ((0.05, 4, 6), (0.25, 2, 2)):
            generation = await live(connection, Wanted("1", canary="2", share=share, salt="s"))
            since = now - timedelta(hours=hours)
            await connection.execute(
                "UPDATE rollout_generations SET decided_at = %s WHERE number = %s", (since, generation.number)
            )
            for arm, version, users in (
                ("canary", "2", round(6_000 * share)),
                ("production", "1", round(6_000 * (1 - share))),
            ):
                # Users who like all or nothing, so that rates are the parts of users.
                scores = {f"{number + user}": [int(user % 10 < likes)] for user in range(users)}
                await react(connection, arm, version, scores, since + timedelta(minutes=1))
                number += users
        return await ask(connection, generation)

    verdict = on(postgres_url, work)
    assert verdict.kind is VerdictKind.HOLD, verdict.reason
    (gate,) = [gate for gate in verdict.gates if gate.name == "like rate"]
    assert gate.canary == pytest.approx(gate.production, abs=1e-9)


def test_reactions_to_the_lists_of_the_step_before_do_not_accuse_an_equal_canary(postgres_url: str) -> None:
    async def work(connection: Connection) -> Verdict:
        generation, number = await live(connection, CANARY), 0
        since = datetime.now(UTC) - timedelta(hours=4)
        await connection.execute("UPDATE rollout_generations SET decided_at = %s", (since,))
        # At first with the arms of 5 %, then with those of 25 %, while all rates fall.
        for share, minutes, likes in ((0.05, 10, 6), (0.25, 120, 2)):
            for arm, version, users in (
                ("canary", "2", round(6_000 * share)),
                ("production", "1", round(6_000 * (1 - share))),
            ):
                scores = {f"{number + user}": [int(user % 10 < likes)] for user in range(users)}
                await react(connection, arm, version, scores, since + timedelta(minutes=minutes))
                number += users
        return await ask(connection, generation)

    verdict = on(postgres_url, work)
    (gate,) = [gate for gate in verdict.gates if gate.name == "like rate"]
    assert gate.canary == pytest.approx(gate.production, abs=1e-9)


def test_one_failed_call_of_500_users_does_not_roll_back(postgres_url: str) -> None:
    async def work(connection: Connection) -> Verdict:
        generation = await live(connection, CANARY)
        counts = ArmCounter("canary", "2", 100)
        counts.fail(500)
        await ledger.count(connection, generation.number, "r", [counts.row()])
        return await judge(connection, generation, SETTINGS, datetime.now(UTC), COUNTED_MS, ReadingState())

    verdict = on(postgres_url, work)
    assert verdict.kind is VerdictKind.HOLD, verdict.reason


@pytest.mark.parametrize(("share", "likes", "kind"), [
    (0.25, 4, VerdictKind.ADVANCE), (0.5, 4, VerdictKind.PROMOTE),
    (0.25, 2, VerdictKind.ROLL_BACK), (0.5, 5, VerdictKind.PROMOTE),
])  # fmt: skip
def test_what_was_written_leads_to_the_verdict(postgres_url: str, share: float, likes: int, kind: VerdictKind) -> None:
    async def work(connection: Connection) -> Verdict:
        generation = await live(connection, Wanted("1", canary="2", share=share, salt="s"))
        await fill(connection, generation.number, canary_likes=likes)
        return await ask(connection, generation)

    assert on(postgres_url, work).kind is kind


def test_errors_that_begin_after_hours_are_found_by_the_next_looks(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await live(connection, CANARY)
        await fill(connection, generation.number, canary_likes=4)
        reading, settings = ReadingState(), SETTINGS.model_copy(update={"error_window_s": 1e-6})
        assert (await ask(connection, generation, reading, settings)).kind is VerdictKind.ADVANCE
        # 40 of 5,040 in the step is below every limit; 40 of the last 40 is not.
        await count(connection, generation.number, "canary", "2", StepCounts(answers=5_000, errors=40), [])
        verdict = await ask(connection, generation, reading, settings)
        assert verdict.kind is VerdictKind.ROLL_BACK
        assert verdict.reason.startswith("recent errors: the canary failed 40 of 40 users")

    on(postgres_url, work)


def test_who_watches_needs_to_say_no_more_than_which_generation(postgres_url: str) -> None:
    async def work(connection: Connection) -> Verdict:
        generation = await live(connection, CANARY)
        look = watching(SETTINGS, EDGES_MS)
        assert (await look(connection, generation)).kind is VerdictKind.HOLD
        await count(connection, generation.number, "canary", "2", StepCounts(errors=30), [])
        return await look(connection, generation)

    assert on(postgres_url, work).kind is VerdictKind.ROLL_BACK


def test_likes_that_take_too_long_to_read_leave_the_errors_judged(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        generation = await live(connection, CANARY)
        await count(connection, generation.number, "canary", "2", StepCounts(errors=50), [])
        async with await Connection.connect(postgres_url) as other:
            await other.execute("LOCK TABLE reactions IN ACCESS EXCLUSIVE MODE")
            # Far more than what does not wait for the lock takes on a busy machine.
            await connection.execute("SET statement_timeout = '3s'")
            verdict = await ask(connection, generation)
        assert verdict.kind is VerdictKind.ROLL_BACK
        assert "failed 50 of 50 users" in verdict.reason

    on(postgres_url, work)


def test_what_has_no_canary_or_takes_no_traffic_is_not_judged(postgres_url: str) -> None:
    async def work(connection: Connection) -> None:
        with pytest.raises(ValueError, match="no canary"):
            await ask(connection, await live(connection, Wanted("1")))
        with pytest.raises(ValueError, match="not active"):
            await ask(connection, await live(connection, CANARY, GenerationState.FAILED))

    on(postgres_url, work)
