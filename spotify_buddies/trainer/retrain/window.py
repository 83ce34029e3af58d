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
        return "-".join(f"{end.astimezone(UTC):%Y%m%dT%H%M%SZ}" for end in (self.first, self.until))


def whole_hour(now: datetime) -> datetime:
    """The hour that has begun: commands of one hour have one window."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
