"""Which part of the logs is looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from spotify_buddies.foundation.terminal import durations

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d{1,5})([mhdw])")


class BadTime(ValueError):
    """A text is neither a span nor a time."""


@dataclass(frozen=True)
class Window:
    """Times in UTC: since <= at < until. past: where the time before it begins. None: every version, every arm."""

    since: datetime
    until: datetime
    past: datetime
    version: str | None = None
    arm: str | None = None

    def __post_init__(self) -> None:
        if not self.past <= self.since < self.until:
            raise BadTime(
                f"the window is empty: it begins at {self.since:%Y-%m-%d %H:%M} and ends at {self.until:%Y-%m-%d %H:%M}"
            )

    def __str__(self) -> str:
        only = [f"version {self.version}"] if self.version is not None else []
        only += [f"arm {self.arm}"] if self.arm is not None else []
        times = f"{self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M} UTC"
        return ", ".join([times, *only])


def span(text: str) -> timedelta:
    """30m, 12h, 7d or 4w. BadTime: anything else, or nothing."""
    found = _SPAN.fullmatch(text)
    if found is None or not int(found[1]):
        raise BadTime(f"{text!r} is no span such as 12h, 7d or 4w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(text: str, now: datetime) -> datetime:
    """A time in ISO 8601 (UTC where it names no zone), or a span before now. BadTime: neither."""
    if _SPAN.fullmatch(text):
        return now - span(text)
    try:
        return durations.moment(text)
    except ValueError:
        raise BadTime(f"{text!r} is neither a span such as 7d nor a time such as 2026-11-28T06:00") from None
