"""A window of time: what it is called, and how its parts lie in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Window:
    """first <= t < until, both UTC."""

    first: datetime
    until: datetime

    @classmethod
    def ending(cls, until: datetime, seconds: float) -> Window:
        """The window of so many seconds before `until`. ValueError: it has no length, or begins before time does."""
        if seconds <= 0:
            raise ValueError("a window is longer than nothing")
        try:
            return cls(until - timedelta(seconds=seconds), until)
        except OverflowError:
            raise ValueError("a window that begins before the year 1") from None

    @property
    def id(self) -> str:
        """As 20261029T070000Z-20261128T070000Z: the same for the same window."""
        return "-".join(f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}" for moment in (self.first, self.until))


def moment(text: str) -> datetime:
    """UTC of an ISO 8601 date or time; without an offset it is UTC. ValueError: something else."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no date or time such as 2026-11-28 or 2026-11-28T07:00:00Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def whole_hour(now: datetime) -> datetime:
    """The hour that has begun: commands of one hour have one window."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
