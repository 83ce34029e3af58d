"""Times of cron expressions. cronsim follows Debian's cron, changes to and from summer time included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

# A clock that was set back by less than this runs nothing a second time; set back by more, the schedule starts anew.
SET_BACK = timedelta(days=1)


def after(cron: str, zone: str, at: datetime) -> Iterator[datetime]:
    """The times after a moment, ascending, in UTC."""
    for found in CronSim(cron, at.astimezone(ZoneInfo(zone))):
        yield found.astimezone(UTC)


def next_after(cron: str, zone: str, at: datetime) -> datetime:
    """The first time after a moment, in UTC. ValueError: none comes within 50 years."""
    found = next(after(cron, zone, at), None)
    if found is None:
        raise ValueError(f"{cron!r} names a time that never comes")
    return found


def words(cron: str) -> str:
    """The expression in English."""
    return str(CronSim(cron, datetime.now(UTC)).explain())


def due(cron: str, zone: str, last: datetime, now: datetime) -> datetime | None:
    """The newest time after `last` that is not after now: missed ones are one. None: there is none.

    last: the time that was run last, or when the schedule began.
    """
    if last >= now or (first := next_after(cron, zone, last)) > now:
        return None
    # Backwards from now: years of missed minutes are not walked through. With a fraction of a second now is a time too.
    before = next(CronSim(cron, now.replace(microsecond=1).astimezone(ZoneInfo(zone)), reverse=True))
    newest = max(first, before.astimezone(UTC))
    # In the hour that comes twice the way back leaves times out.
    for later in after(cron, zone, newest):
        if later > now:
            break
        newest = later
    return newest


def base(last: datetime | None, now: datetime) -> datetime:
    """The moment after which times count: that of the last run, or now where there is none.

    A last run more than SET_BACK from now in the future was noted by a clock that was wrong, and does not count.
    """
    return now if last is None or last > now + SET_BACK else last
