"""A cause starts one retraining: checks of one episode, schedulers at the same time, and blocks of feedback."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import psycopg

from spotify_buddies.serve_app.online.drift.causes import Cause, pending_cause, store_check, take
from spotify_buddies.serve_app.online.drift.judge import Finding
from spotify_buddies.serve_app.online.drift.report import DriftReport
from spotify_buddies.serve_app.online.drift.signals import Against, Signal
from spotify_buddies.serve_app.rollout.commands.drive import ask
from tests.serve_app.online.drift.conftest import DAYS, UNTIL, Weeks

MANY = 10**9


def day(number: int) -> datetime:
    return UNTIL + timedelta(days=number)


def check(weeks: Weeks, number: int, *alarms: Signal, blocks: int = MANY) -> None:
    """Store a check on a day at which these signals alarm."""
    findings = tuple(
        Finding(signal, Against.DAY, 1.0, 0.5, signal in alarms, why=f"of day {number}") for signal in Signal
    )
    report = DriftReport(day(number - 7), day(number), "7", (), findings)
    weeks.ask(lambda connection: store_check(connection, report, blocks))


def taken(weeks: Weeks, number: int) -> Cause | None:
    """Take the pending cause as a retraining with data until that day does."""

    async def work(connection: psycopg.AsyncConnection) -> Cause | None:
        async with connection.transaction():
            cause = await pending_cause(connection)
            if cause is not None:
                await take(connection, cause, "retrain", day(number))
            return cause

    return weeks.ask(work)


def causes(weeks: Weeks) -> int:
    return int(weeks.rows("SELECT count(*) FROM drift_causes")[0][0])


def test_an_episode_of_several_signals_and_days_is_one_cause_and_is_taken_once(weeks: Weeks) -> None:
    check(weeks, 0)
    assert (causes(weeks), taken(weeks, 0)) == (0, None)
    check(weeks, 1, Signal.COLD_USERS, Signal.SOURCES)
    check(weeks, 1, Signal.COLD_USERS, Signal.SOURCES)
    check(weeks, 2, Signal.COLD_USERS, Signal.SCORES)
    assert causes(weeks) == 1
    cause = taken(weeks, 2)
    assert cause is not None
    assert (cause.kind, cause.began, cause.seen) == ("drift", day(1), day(2))
    assert "cold_users: of day 1" in cause.message
    check(weeks, 3, Signal.COLD_USERS, Signal.SCORES)
    assert (causes(weeks), taken(weeks, 3)) == (1, None)


def test_another_signal_after_the_retraining_is_another_cause(weeks: Weeks) -> None:
    check(weeks, 1, Signal.COLD_USERS)
    assert taken(weeks, 1) is not None
    check(weeks, 2, Signal.COLD_USERS, Signal.LIKE_RATE)
    cause = taken(weeks, 2)
    assert cause is not None
    assert "like_rate" in cause.message
    assert "cold_users" not in cause.message
    assert causes(weeks) == 2


def test_the_same_signal_after_a_quiet_window_is_another_cause(weeks: Weeks) -> None:
    check(weeks, 1, Signal.COLD_USERS)
    assert taken(weeks, 1) is not None
    check(weeks, 9, Signal.COLD_USERS)
    assert taken(weeks, 9) is not None
    assert causes(weeks) == 2


def test_of_two_schedulers_one_gets_the_cause_and_a_rollback_gives_it_back(weeks: Weeks) -> None:
    check(weeks, 1, Signal.COLD_USERS)

    async def race() -> tuple[Cause | None, Cause | None]:
        async def second(connection: psycopg.AsyncConnection) -> Cause | None:
            async with connection.transaction():
                return await pending_cause(connection)

        async def first(connection: psycopg.AsyncConnection) -> tuple[Cause | None, Cause | None]:
            async with connection.transaction(force_rollback=True):
                cause = await pending_cause(connection)
                assert cause is not None
                await take(connection, cause, "killed", day(1))
                return cause, await ask(weeks.url, second)

        return await ask(weeks.url, first)

    mine, theirs = asyncio.run(race())
    assert mine is not None
    assert theirs is None
    assert taken(weeks, 1) == mine
    assert taken(weeks, 1) is None


def test_enough_blocks_since_the_last_retraining_are_a_cause(weeks: Weeks) -> None:
    weeks.fill(first=DAYS - 2, reactions=300)
    (blocks,) = weeks.rows("SELECT count(*) FROM reactions")[0]
    check(weeks, 0, blocks=blocks + 1)
    assert causes(weeks) == 0
    check(weeks, 0, blocks=blocks)
    check(weeks, 0, blocks=blocks)
    assert causes(weeks) == 1
    cause = taken(weeks, 0)
    assert cause is not None
    assert (cause.kind, cause.message) == (
        "feedback", f"{blocks} user-blocks since the last retraining, {blocks} are enough"
    )  # fmt: skip
    check(weeks, 0, blocks=1)
    assert (causes(weeks), taken(weeks, 0)) == (1, None)


def test_a_retraining_takes_every_cause_that_its_data_show_and_one_on_schedule_counts_too(weeks: Weeks) -> None:
    weeks.fill(first=DAYS - 1)
    check(weeks, 0, Signal.COLD_USERS, blocks=10)
    assert causes(weeks) == 2
    assert taken(weeks, 0) is not None
    assert taken(weeks, 0) is None
    weeks.ask(lambda connection: take(connection, None, "schedule", day(5)))
    assert weeks.rows("SELECT kind, taken_by FROM drift_causes WHERE taken_until = %s", day(5)) == [
        ("other", "schedule")
    ]


def test_two_checks_at_the_same_time_open_one_cause(weeks: Weeks) -> None:
    finding = Finding(Signal.COLD_USERS, Against.DAY, 1.0, 0.5, True, why="cold")
    report = DriftReport(day(-7), day(0), "7", (), (finding,))
    later = replace(report, since=day(-6), until=day(1))

    async def both() -> None:
        await asyncio.gather(*(ask(weeks.url, lambda c, r=r: store_check(c, r, MANY)) for r in (report, later)))

    asyncio.run(both())
    assert causes(weeks) == 1
