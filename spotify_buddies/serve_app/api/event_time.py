"""The time at which the events of a call happened, where its header says it: simulations live weeks in minutes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from spotify_buddies.serve_app.api.status import Context
from spotify_buddies.serve_app.errors import InvalidRequest, Violation
from spotify_buddies.serve_app.http1.call import Call

EVENT_TIME_KEY = "buddies-event-time"
# Nobody simulates farther from now, and a slip of a century would fill the default partitions for good.
FARTHEST = timedelta(days=400)

_FIELD = f"header {EVENT_TIME_KEY}"
# RFC 3339 (2002) in UTC, to the microsecond, which is what Postgres holds.
_FORM = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|\+00:00)")


def event_time_of(context: Context) -> str:
    """The header as it came, empty where there is none; several are one with commas, which is no time."""
    if isinstance(context, Call):
        return ", ".join(context.values_of(EVENT_TIME_KEY))
    values = [value for key, value in context.invocation_metadata() or () if key == EVENT_TIME_KEY]
    return ", ".join(value if isinstance(value, str) else value.decode(errors="replace") for value in values)


def read_event_time(text: str, now: datetime, *, accepted: bool) -> datetime:
    """The time in UTC. accepted: the setting. InvalidRequest: it is off; no time; farther from now than FARTHEST."""
    if not accepted:
        raise _refusal("is not accepted here: the setting serve.event_times is off, as where real people are served")
    if not _FORM.fullmatch(text):
        raise _refusal("is not a time of RFC 3339 in UTC, such as 2026-11-28T09:00:00.250Z")
    try:
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except ValueError as error:
        raise _refusal(f"is not a time: {error}") from error
    if abs(at - now) > FARTHEST:
        raise _refusal(f"is more than {FARTHEST.days} days from now")
    return at


def _refusal(why: str) -> InvalidRequest:
    return InvalidRequest((Violation(_FIELD, why),))
