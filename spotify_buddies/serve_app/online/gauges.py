"""The newest check of drift that is stored, for Prometheus: read again and again by the rollout's controller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.telemetry.redact import cause

EVERY_S = 15.0
ANSWER_WITHIN_S = 5.0
# A check writes one row for each comparison; the window that ended last is the newest one.
_NEWEST = """
SELECT signal, against, value, threshold, alarm, extract(epoch FROM max(at) OVER ())::float8 FROM drift_checks
WHERE until = (SELECT max(until) FROM drift_checks)
"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compared:
    """A comparison of a check; signal and against: as drift.signals names them. None: not measured, not judged."""

    signal: str
    against: str
    value: float | None
    threshold: float | None
    alarm: bool


@dataclass(frozen=True)
class Check:
    """A stored check. checked: when it was made, in seconds since 1970."""

    checked: float
    compared: Sequence[Compared]


async def newest_check(connection: psycopg.AsyncConnection) -> Check | None:
    """The check of the window that ended last; None: nothing was checked yet. psycopg.Error."""
    try:
        rows = await (await connection.execute(_NEWEST)).fetchall()
    except psycopg.errors.UndefinedTable:
        return None
    return Check(rows[0][-1], [Compared(*row[:-1]) for row in rows]) if rows else None


async def watch_checks(url: str, tell: Callable[[Check], None], every_s: float = EVERY_S) -> None:
    """Tell the newest check every so many seconds, until it is cancelled. While Postgres is away nothing is told."""
    while True:
        try:
            async with await connect(url, connect_s=ANSWER_WITHIN_S, statement_s=ANSWER_WITHIN_S) as connection:
                found = await newest_check(connection)
            if found is not None:
                tell(found)
        except (psycopg.Error, OSError, TimeoutError) as error:
            _log.warning("drift is not told for now: %s", cause(error))
        await asyncio.sleep(every_s)


class RayDriftGauges:
    """Ray's metrics, which Prometheus scrapes from the node. Only inside a replica.

    The labels are bounded: the comparisons that a release makes. Ray takes no series back and no NaN, so a comparison
    that the newest check did not judge keeps the figures of an earlier one, and `drift_judged` is 0.
    """

    def __init__(self) -> None:
        from ray.serve import metrics

        keys = ("signal", "against")
        self._value = metrics.Gauge(
            "drift_value", description="What a comparison found, as `buddies drift report` says", tag_keys=keys
        )
        self._threshold = metrics.Gauge(
            "drift_threshold", description="The value from which on it is an alarm", tag_keys=keys
        )
        self._judged = metrics.Gauge(
            "drift_judged",
            description="1 where the newest check judged it; 0: the value is an earlier one",
            tag_keys=keys,
        )
        self._alarm = metrics.Gauge(
            "drift_alarm", description="1 for an alarm of the newest check, else 0", tag_keys=keys
        )
        self._checked = metrics.Gauge(
            "drift_checked_timestamp_seconds", description="When the newest check was made, seconds since 1970"
        )
        self._told: set[tuple[str, str]] = set()

    def tell(self, check: Check) -> None:
        """Set the gauges."""
        now = {(one.signal, one.against): one for one in check.compared}
        for name in self._told - now.keys():
            now[name] = Compared(*name, value=None, threshold=None, alarm=False)
        self._told |= now.keys()
        for (signal, against), one in now.items():
            tags = {"signal": signal, "against": against}
            if one.value is not None and one.threshold is not None:
                self._value.set(one.value, tags=tags)
                self._threshold.set(one.threshold, tags=tags)
            self._judged.set(float(one.threshold is not None), tags=tags)
            self._alarm.set(float(one.alarm), tags=tags)
        self._checked.set(check.checked)
