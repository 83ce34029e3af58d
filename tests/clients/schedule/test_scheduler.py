"""The schedule by the clock: one leader, what was missed, what fails, hangs or is cut off."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from spotify_buddies.clients.schedule import leader, loop, runs
from spotify_buddies.clients.schedule.loop import Scheduler
from spotify_buddies.clients.schedule.simulated import Led, simulate
from spotify_buddies.foundation.process.children import is_alive
from tests.clients.buddies_process import called
from tests.clients.schedule.conftest import ENDLESS, FAILING, QUICK, Field, settings_of
from tests.waiting import WITHIN_S, until

# Programs of the system, in the place of `buddies`.
DONE, SLOW, BROKEN = ("/bin/true",), ("/bin/sleep", "600"), ("/bin/sh", "-c", "echo one; echo error: two >&2; exit 3")
NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "TICK_S", 0.05)
    monkeypatch.setattr(loop, "AGAIN_S", 0.05)


@asynccontextmanager
async def scheduling(place: Field, clock: Callable[[], datetime]) -> Any:
    """A scheduler in this process, by a clock of the test's, whose jobs are programs that start faster than ours."""
    stop = asyncio.Event()
    work = asyncio.create_task(Scheduler(settings_of(place), stop, clock, lambda *program: list(program)).run())
    try:
        yield
    finally:
        stop.set()
        await work


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_a_standby_takes_over_when_the_leader_is_killed_and_sigterm_ends_all(place: Field) -> None:
    place.configure(stop_within_s=1, drift={"arguments": ENDLESS})
    first = place.start()
    place.wait(lambda: place.runs("drift"), "the first runs the job")
    place.wait(lambda: any(one.cmdline()[-1:] == ["--watch"] for one in below(first.pid)), "its process is there")
    children = below(first.pid)
    second = place.start()
    place.wait(lambda: f":{first.pid} leads" in place.log(1), "the second stands by")
    assert place.runs("drift") == [(None, None, "")]
    first.send_signal(signal.SIGKILL)
    first.wait(WITHIN_S)
    place.wait(lambda: len(place.runs("drift")) == 2, "the second runs the job")
    assert place.runs("drift") == [("lost", None, "its scheduler died"), (None, None, "")]
    place.wait(lambda: not any(map(is_alive, children)), "they have ended")
    place.wait(lambda: below(second.pid), "its process is there")
    children = below(second.pid)
    second.send_signal(signal.SIGTERM)
    assert second.wait(WITHIN_S) == 0
    assert [run[0] for run in place.runs("drift")] == ["lost", "ended"]
    assert not any(map(is_alive, children))


def test_missed_times_are_one_run_and_a_job_that_never_ran_has_missed_nothing(place: Field) -> None:
    place.configure(drift={"arguments": DONE, "cron": "0 * * * *"}, daily={"arguments": DONE, "cron": "0 * * * *"})
    place.ask(
        "INSERT INTO schedule_runs (job, started_by, due, ended_at, outcome, leader)"
        " VALUES ('drift', 'cron', %s, now(), 'done', 'a')",
        NOON - timedelta(days=3),
    )
    now = NOON + timedelta(minutes=20)

    def dues(job: str) -> list[datetime]:
        return [due for (due,) in place.ask("SELECT due FROM schedule_runs WHERE job = %s ORDER BY id", job)]

    async def run() -> None:
        nonlocal now
        async with scheduling(place, lambda: now):
            await until(lambda: place.runs("drift")[1:] == [("done", 0, "")], "it was run, once")
            # The clock jumps, forwards and back.
            now += timedelta(hours=5)
            await until(lambda: len(dues("drift")) == 3 and len(dues("daily")) == 1, "both were run")
            now -= timedelta(hours=3)
            await until(lambda: None not in [run[0] for run in place.runs("drift") + place.runs("daily")], "they end")
            now += timedelta(hours=4)
            await until(lambda: len(dues("drift")) == 4 and len(dues("daily")) == 2, "both were run")

    asyncio.run(run())
    assert dues("drift")[1:] == [NOON, NOON + timedelta(hours=5), NOON + timedelta(hours=6)]
    assert dues("daily") == [NOON + timedelta(hours=5), NOON + timedelta(hours=6)]


def test_a_failing_job_runs_again_while_one_that_hangs_runs_once_and_lanes_are_for_one(place: Field) -> None:
    place.configure(
        upkeep={"arguments": BROKEN},
        drift={"arguments": SLOW},
        caused={"arguments": SLOW, "alone": "training"},
        retrain={"arguments": DONE, "alone": "training"},
        daily={"arguments": SLOW, "timeout_s": 0.5},
    )

    async def run() -> None:
        async with scheduling(place, lambda: datetime.now(UTC)):
            await until(lambda: len(place.runs("upkeep")) > 2 and len(place.runs("daily")) > 1, "both run again")
            status = await asyncio.to_thread(
                called, "schedule", "status", "--json", cwd=place.home, BUDDIES_POSTGRES_URL=place.url
            )
            found = json.loads(status.stdout)
            jobs = {job["job"]: job for job in found["jobs"]}
            assert found["leader"] is not None
            assert jobs["drift"]["running"]
            assert jobs["drift"]["last"]["outcome"] is None
            assert jobs["upkeep"]["next"] > jobs["upkeep"]["last"]["due"]

    asyncio.run(run())
    outcome, code, said = place.runs("upkeep")[0]
    assert (outcome, code) == ("failed", 3)
    assert said == "one\nerror: two"
    assert place.runs("daily")[0][0] == "timeout"
    assert place.runs("drift") == place.runs("caused") == [("ended", None, "ended with the scheduler")]
    assert place.runs("retrain") == []


def test_a_leader_that_loses_postgres_ends_its_jobs_and_leads_again(place: Field) -> None:
    place.configure(stop_within_s=1, drift={"arguments": SLOW})
    ours = psutil.Process().pid
    others = set(below(ours))  # of the whole test run

    async def run() -> None:
        async with scheduling(place, lambda: datetime.now(UTC)):
            await until(lambda: place.runs("drift"), "it runs")
            before = set(below(ours)) - others
            place.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'buddies schedule%'"
            )
            await until(lambda: len(place.runs("drift")) == 2, "it runs again")
            assert not {one for one in before & set(below(ours)) if is_alive(one)}

    asyncio.run(run())
    assert [outcome for outcome, *_ in place.runs("drift")] == ["lost", "ended"]


def test_a_simulated_clock_runs_every_time_in_order_and_goes_on_after_a_failure(place: Field) -> None:
    place.configure(
        drift={"arguments": QUICK, "cron": "0 6 * * *"}, daily={"arguments": [*FAILING, "{days}"], "cron": "0 0 * * *"}
    )
    span = ("--clock", "simulated", "--from", "2026-10-12", "--until", "2026-10-13")
    done = called("schedule", "run", *span, cwd=place.home)
    assert done.returncode == 1
    *lines, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["at"][8:13], line["job"], line["outcome"], line["exit_code"]) for line in lines] == [
        ("12T06", "drift", "done", 0), ("13T00", "daily", "failed", 2),
    ]  # fmt: skip
    assert (summary["runs"], summary["stopped_at"]) == ({"daily": {"failed": 1}, "drift": {"done": 1}}, None)
    assert [by for (by,) in place.ask("SELECT DISTINCT started_by FROM schedule_runs")] == ["simulated"]


def test_a_simulated_clock_that_is_stopped_says_where_and_one_beside_a_leader_is_refused(place: Field) -> None:
    place.configure(drift={"arguments": DONE, "cron": "0 6 * * *"})
    settings, day = settings_of(place), timedelta(days=1)

    async def run() -> None:
        stop = asyncio.Event()
        stop.set()
        done = await simulate(settings, NOON, NOON + day, stop)
        assert (done["stopped_at"], done["runs"]) == ("2026-11-29T06:00:00+00:00", {})
        async with await leader.connect(settings) as other:
            assert await leader.take_lead(other)
            with pytest.raises(Led, match="another scheduler leads"):
                await simulate(settings, NOON, NOON + day, asyncio.Event())

    asyncio.run(run())
    assert place.runs("drift") == []


def test_a_run_forgets_those_of_its_job_that_are_older_than_the_history(place: Field) -> None:
    place.configure(drift={"arguments": DONE})
    for job in ("drift", "daily"):
        place.ask(
            "INSERT INTO schedule_runs (job, started_by, due, started_at, ended_at, outcome, leader)"
            " SELECT %s, 'cron', now(), at, at, 'done', 'a' FROM"
            " (VALUES (now() - interval '91 days'), (now() - interval '89 days')) AS old (at)",
            job,
        )

    async def run() -> None:
        async with await leader.connect(settings_of(place)) as connection:
            assert await leader.take_job(connection, "drift")
            await runs.begin(connection, "drift", runs.ONCE, NOON)

    asyncio.run(run())
    assert (len(place.runs("drift")), len(place.runs("daily"))) == (2, 2)


def test_one_job_runs_now_by_hand_but_not_beside_itself(place: Field) -> None:
    place.configure(drift={"arguments": ["drift", "check", "--until", "{until}", "--json"], "fine": [0, 4]})
    once = ("schedule", "run", "--once", "drift", "--as-of", "2026-11-28T06:00:00Z")
    done = called(*once, cwd=place.home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["at"] == "2026-11-28T06:00:00+00:00"
    assert place.ask("SELECT count(*) FROM drift_checks WHERE until = '2026-11-28T06:00:00Z'") != [(0,)]

    import psycopg

    with psycopg.connect(place.url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s, hashtext('drift'))", (0x7363,))
        busy = called(*once, cwd=place.home)
    assert (busy.returncode, busy.stderr) == (1, "error: drift runs already; `buddies schedule status` shows it\n")
    unknown = called("schedule", "run", "--once", "nightly", cwd=place.home)
    assert unknown.returncode == 2
