"""Durations and times as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def seconds(text: str) -> float:
    """Seconds of "90", "30s", "10m", "1.5h" or "2d". ValueError: something else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time such as 30s, 10m or 2h")
    return float(match[1]) * _UNITS_S[match[2]]


def moment(text: str) -> datetime:
    """A date or time in ISO 8601, in UTC; without an offset it is UTC. ValueError: something else."""
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no date or time such as 2026-11-28 or 2026-11-28T07:00:00Z") from None
