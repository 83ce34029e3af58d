"""Jobs: what a time of the schedule means as a command of `buddies`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from spotify_buddies.clients.command.settings import SettingsError
from spotify_buddies.clients.schedule.settings import JobSettings, ScheduleSettings
from spotify_buddies.foundation.terminal.durations import moment

# Order of jobs that are due together: people come before what is read of them, lists after what they are made with.
NAMES = ("simulate", "upkeep", "drift", "decide", "caused", "extract", "retrain", "rollout", "daily")
DAYS = "days"
PLACES = ("until", "day", DAYS, "stamp", "state")
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Job:
    """One job of the schedule. place: among those that are due together."""

    name: str
    place: int
    settings: JobSettings

    @property
    def lane(self) -> str:
        """Jobs with the same lane never run at the same time; a job never overlaps itself."""
        return self.settings.alone or self.name


def jobs_of(settings: ScheduleSettings) -> dict[str, Job]:
    """Every job by its name, in order; those that are off too. SettingsError: an argument names no place of ours."""
    jobs = {name: Job(name, place, getattr(settings, name)) for place, name in enumerate(NAMES)}
    for job in jobs.values():
        for name in _named(job):
            if name not in PLACES:
                there = ", ".join(f"{{{one}}}" for one in PLACES)
                raise SettingsError(f"schedule.{job.name}.arguments: no place {{{name}}}; there are {there}")
    return jobs


def check_days(jobs: Iterable[Job], start: str | None) -> None:
    """SettingsError: a job asks for {days}, and no day is given from which they count."""
    for job in jobs:
        if start is None and DAYS in _named(job):
            raise SettingsError(f"schedule.{job.name}.arguments: {{days}} counts from schedule.start, which is not set")


def _named(job: Job) -> list[str]:
    return _PLACE.findall(" ".join(job.settings.arguments))


@dataclass(frozen=True)
class Moments:
    """What the places in arguments mean at a moment. start: the day from which {days} counts; None: nothing counts."""

    state_dir: Path
    start: date | None

    @classmethod
    def of(cls, settings: Any, start: date | None = None) -> Moments:
        """As the settings say; start: another first day."""
        given = settings.schedule.start
        return cls(settings.state_dir, start or (None if given is None else moment(given).date()))

    def arguments(self, job: Job, at: datetime) -> list[str]:
        """The arguments of `buddies` at a moment, in UTC."""
        values = self._values(at.astimezone(UTC))
        return [_PLACE.sub(lambda found: values[found[1]], one) for one in job.settings.arguments]

    def _values(self, at: datetime) -> Mapping[str, str]:
        days = "0" if self.start is None else str(max(0, (at.date() - self.start).days))
        return {
            "until": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "day": f"{at:%Y-%m-%d}",
            DAYS: days,
            "stamp": str(int(at.timestamp())),
            "state": str(self.state_dir),
        }
