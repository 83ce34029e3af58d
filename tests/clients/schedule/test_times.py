"""Times of cron expressions: missed ones are one, clocks that jump, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_buddies.clients.command.settings import SettingsError, read_settings
from spotify_buddies.clients.schedule.jobs import Job, Moments, check_days, jobs_of
from spotify_buddies.clients.schedule.settings import JobSettings, ScheduleSettings
from spotify_buddies.clients.schedule.simulated import steps
from spotify_buddies.clients.schedule.times import SET_BACK, after, base, due, next_after

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_time_is_due_once_it_is_there_and_until_it_was_run() -> None:
    assert due("0 12 * * *", "UTC", NOON - timedelta(hours=1), NOON - timedelta(seconds=1)) is None
    assert due("0 12 * * *", "UTC", NOON - timedelta(hours=1), NOON) == NOON
    assert due("0 12 * * *", "UTC", NOON, NOON) is None


def test_of_missed_times_the_newest_is_due_alone() -> None:
    assert due("0 * * * *", "UTC", at("2024-01-01"), NOON + timedelta(minutes=59)) == NOON
    assert due("* * * * * *", "UTC", at("2024-01-01"), NOON) == NOON


@given(
    st.sampled_from(["*/10 * * * *", "0 2 * * MON", "30 2 * * *", "15 3 1 * *", "* * * * * *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    st.integers(0, 400 * 86_400),
    st.integers(0, 3 * 86_400),
)
def test_what_is_due_is_the_last_of_the_times_between(cron: str, zone: str, first_s: int, span_s: int) -> None:
    last = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=first_s)
    now = last + timedelta(seconds=min(span_s, 600) if cron.startswith("* * * * * *") else span_s)
    between = []
    for found in after(cron, zone, last):
        if found > now:
            break
        between.append(found)
    assert due(cron, zone, last, now) == (between[-1] if between else None)


def test_in_the_hour_that_comes_twice_the_newest_is_due_too() -> None:
    last, now = at("2026-10-24T18:00"), at("2026-10-25T01:00")
    assert due("5 1-3 * * *", "Europe/Berlin", last, now) == at("2026-10-25T00:05")


def test_a_clock_that_is_set_back_runs_nothing_twice_and_one_that_was_far_ahead_holds_nothing_up() -> None:
    assert base(NOON, NOON - timedelta(hours=2)) == NOON
    assert due("0 * * * *", "UTC", base(NOON, NOON - timedelta(hours=2)), NOON - timedelta(hours=2)) is None
    ahead = NOON + SET_BACK + timedelta(seconds=1)
    assert base(ahead, NOON) == NOON
    assert base(None, NOON) == NOON


def test_times_are_those_of_the_zone_also_when_summer_time_ends_and_begins() -> None:
    assert next_after("30 4 * * *", "Europe/Berlin", at("2026-10-24T12:00")) == at("2026-10-25T03:30")
    assert next_after("30 4 * * *", "Europe/Berlin", at("2026-03-28T12:00")) == at("2026-03-29T02:30")
    # 02:30 does not exist on that day: it runs at the next moment that does, as cron does it.
    assert next_after("30 2 * * *", "Europe/Berlin", at("2026-03-28T12:00")) == at("2026-03-29T01:00")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('daily.cron = "61 4 * * *"', "schedule.daily.cron: '61 4 * * *' is no cron expression"),
        ('drift.cron = "0 0 30 2 *"', "schedule.drift.cron: '0 0 30 2 *' is no cron expression"),
        ('zone = "Mars/Olympus"', "schedule.zone: 'Mars/Olympus' is no time zone"),
        ("daily.arguments = []", "schedule.daily.arguments: name a command"),
        ("nightly.enabled = true", "schedule.nightly: no such setting"),
    ],
)
def test_what_is_wrong_in_the_settings_is_named_with_file_and_key(tmp_path: Path, table: str, said: str) -> None:
    file = tmp_path / "buddies.toml"
    file.write_text(f"[schedule]\n{table}\n", encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        read_settings({"schedule": ScheduleSettings}, file=file, environment={})
    assert str(refused.value).startswith(f"{file}: {said}")


def a_job(name: str, place: int, cron: str, *arguments: str) -> Job:
    return Job(name, place, JobSettings(cron=cron, arguments=arguments))


def test_places_in_arguments_are_the_moment_and_the_days_before_it() -> None:
    moments = Moments(Path("/state"), at("2026-10-12").date())
    job = a_job("simulate", 0, "0 0 * * *", "{state}/weeks.json", "--until-day={days}", "{until}", "{day}", "{stamp}")
    assert moments.arguments(job, at("2026-10-14T06:30")) == [
        "/state/weeks.json", "--until-day=2", "2026-10-14T06:30:00Z", "2026-10-14", "1791959400",
    ]  # fmt: skip


def test_a_place_that_there_is_not_is_refused_and_days_need_a_first_one() -> None:
    with pytest.raises(SettingsError, match=r"schedule\.daily\.arguments: no place \{hour\}"):
        jobs_of(ScheduleSettings.model_validate({"daily": {"arguments": ["daily", "{hour}"]}}))
    counting = jobs_of(ScheduleSettings.model_validate({"daily": {"arguments": ["daily", "{days}"]}})).values()
    with pytest.raises(SettingsError, match=r"schedule\.daily\.arguments: {days} counts from schedule\.start"):
        check_days(counting, None)
    check_days(counting, "2026-10-12")


def test_a_simulated_clock_steps_through_all_times_in_order_and_those_of_one_moment_in_the_order_of_jobs() -> None:
    jobs = [a_job("late", 2, "0 0 * * *", "x"), a_job("early", 1, "0 */12 * * *", "x")]
    found = [(f"{when:%d %H}", job.name) for when, job in steps(jobs, "UTC", at("2026-10-12"), at("2026-10-14"))]
    assert found == [
        ("12 12", "early"), ("13 00", "early"), ("13 00", "late"), ("13 12", "early"), ("14 00", "early"),
        ("14 00", "late"),
    ]  # fmt: skip
