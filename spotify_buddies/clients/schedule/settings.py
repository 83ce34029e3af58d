"""Settings of the schedule: a table for each job."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from spotify_buddies.foundation.terminal.durations import moment

HOUR_S = 3_600.0


class JobSettings(BaseModel):
    """One job: when it runs, and what it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cron: str = Field(description="cron expression of its times, in schedule.zone")
    enabled: bool = Field(True, description="whether it runs at its times; `run --once` runs it anyway")
    arguments: tuple[str, ...] = Field(description="arguments of `buddies`, with places such as {until}")
    timeout_s: float = Field(2 * HOUR_S, gt=0, description="after this long it is ended")
    fine: tuple[int, ...] = Field((0,), description="exit codes with which it has done its work")
    alone: str = Field("", description="jobs with the same word here never run at the same time; unset: no other job's")

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, value: str) -> str:
        """A time of it must come. Without the extra, commands that schedule nothing take it as it is."""
        try:
            from cronsim import CronSim, CronSimError
        except ModuleNotFoundError:
            return value
        try:
            comes = next(CronSim(value, datetime.now(UTC)), None)
        except CronSimError as error:
            raise ValueError(f"{value!r} is no cron expression such as '30 4 * * MON': {error}") from None
        if comes is None:
            raise ValueError(f"{value!r} names a time that never comes")
        return value

    @field_validator("arguments")
    @classmethod
    def _check_arguments(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name a command of `buddies`, such as ['daily', 'run']")
        return value


class SimulateJob(JobSettings):
    """Visits of simulated users."""

    cron: str = "*/10 * * * *"
    enabled: bool = False
    arguments: tuple[str, ...] = ("simulate", "run", "--over", "9m", "--seed", "{stamp}", "--json")
    timeout_s: float = HOUR_S


class UpkeepJob(JobSettings):
    """Partitions, retention, expired blocks."""

    cron: str = "15 3 * * *"
    arguments: tuple[str, ...] = ("store", "maintain", "--json")


class DriftJob(JobSettings):
    """The check for drift; an alarm is a result, no failure."""

    cron: str = "30 1 * * *"
    arguments: tuple[str, ...] = ("drift", "check", "--until", "{until}", "--json")
    fine: tuple[int, ...] = (0, 4)


class CausedJob(JobSettings):
    """The retraining that drift or enough feedback asks for."""

    cron: str = "45 1 * * *"
    arguments: tuple[str, ...] = ("schedule", "retrain", "--when-caused", "--until", "{until}", "--json")
    timeout_s: float = 12 * HOUR_S
    alone: str = "training"


class RetrainJob(JobSettings):
    """The retraining that nothing has to ask for."""

    cron: str = "0 2 * * MON"
    arguments: tuple[str, ...] = ("schedule", "retrain", "--until", "{until}", "--json")
    timeout_s: float = 12 * HOUR_S
    alone: str = "training"


class ExtractJob(JobSettings):
    """An extract by itself; a retraining makes its own."""

    cron: str = "0 1 * * *"
    enabled: bool = False
    arguments: tuple[str, ...] = ("retrain", "extract", "--window", "30d", "--until", "{until}", "--json")
    alone: str = "training"


class DecideJob(JobSettings):
    """The decision on a canary by what listeners did: where the gates of a rollout do not decide."""

    cron: str = "30 0 * * MON"
    enabled: bool = False
    arguments: tuple[str, ...] = (
        "online", "decide", "--since", "14d", "--until", "{until}", "--wait", "--json",
    )  # fmt: skip


class RolloutJob(JobSettings):
    """The start of a new version's rollout."""

    cron: str = "*/10 * * * *"
    arguments: tuple[str, ...] = ("schedule", "start-rollout", "--json")
    timeout_s: float = HOUR_S


class DailyJob(JobSettings):
    """The lists of the day."""

    cron: str = "0 4 * * *"
    arguments: tuple[str, ...] = ("daily", "run", "--json")


class ScheduleSettings(BaseModel):
    """The [schedule] section: what `buddies schedule run` runs, in the order of jobs that are due together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str = Field("UTC", description="time zone of the cron expressions, as Europe/Berlin")
    start: str | None = Field(None, description="day from which {days} counts, as 2026-10-12")
    stop_within_s: float = Field(30.0, gt=0, description="time that a job has to end after SIGTERM, before SIGKILL")
    simulate: SimulateJob = Field(SimulateJob(), description="visits of simulated users; off unless enabled")
    upkeep: UpkeepJob = Field(UpkeepJob(), description="partitions, retention, expired blocks")
    drift: DriftJob = Field(DriftJob(), description="check for drift")
    decide: DecideJob = Field(DecideJob(), description="decision on a canary by a report; off unless enabled")
    caused: CausedJob = Field(CausedJob(), description="retraining, where a cause is pending")
    extract: ExtractJob = Field(ExtractJob(), description="extract of the feedback by itself; off unless enabled")
    retrain: RetrainJob = Field(RetrainJob(), description="retraining, whatever drift says")
    rollout: RolloutJob = Field(RolloutJob(), description="start of the rollout of a new version at staging")
    daily: DailyJob = Field(DailyJob(), description="lists of the day")

    @field_validator("zone")
    @classmethod
    def _check_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is no time zone such as UTC or Europe/Berlin") from None
        return value

    @field_validator("start")
    @classmethod
    def _check_start(cls, value: str | None) -> str | None:
        if value is not None:
            moment(value)
        return value
