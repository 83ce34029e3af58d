"""`buddies simulate run --world weeks`: day after day of a world, and what its truth would have earned."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from spotify_buddies.clients.command.access import Target
from spotify_buddies.clients.python import AsyncClient
from spotify_buddies.clients.simulate.interrupts import run_whole
from spotify_buddies.clients.simulate.weeks.days import DAY, DAYS, Calendar
from spotify_buddies.clients.simulate.weeks.living import DayTally, LivingPlan, live
from spotify_buddies.clients.simulate.weeks.progress import DayCounts, Progress, rated, total
from spotify_buddies.clients.simulate.weeks.truth import truth_of
from spotify_buddies.clients.simulate.weeks.world import World
from spotify_buddies.foundation.terminal.tables import table
from spotify_buddies.foundation.terminal.visible import say


@dataclass(frozen=True)
class Span:
    """Days of the world, from 0: the first and the one after the last."""

    first: int
    last: int


def default_start(now: datetime, weeks: int) -> datetime:
    """The Monday from which so many whole weeks lie before this one."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=today.weekday()) - weeks * DAYS * DAY


def settings_of(world: World, calendar: Calendar, plan: LivingPlan) -> dict[str, Any]:
    """What makes a run the run it is, as JSON has it."""
    made = {
        "seed": world.seed, "start": calendar.start.isoformat(), "visits_per_day": calendar.visits_per_day,
        "limit": plan.limit, "exclude_known": plan.exclude_known, "clicks": asdict(plan.clicks),
        "listeners": len(world.listeners), **asdict(world.settings),
        # Left out where it is off: days that were lived before there was this option go on.
        **({"unseen_days": plan.unseen_days} if plan.unseen_days else {}),
    }  # fmt: skip
    return dict(json.loads(json.dumps(made)))


class WeeksRunner:
    """One service, lived with for days; a line of JSON, or of text, for each day and each week."""

    def __init__(self, service: Target, options: dict[str, Any], world: World, calendar: Calendar, plan: LivingPlan):
        self._address, self._options = service.address, options
        self._world, self._calendar, self._plan = world, calendar, plan

    def run(self, progress: Progress, span: Span, *, as_json: bool) -> bool:
        """Whether every day of the span is over; False: it was interrupted in one. WrongTime, OSError."""
        if not as_json:
            say(_HEADERS)
        for day in range(span.first, span.last):
            tally, whole = self._day(day)
            if not whole:
                return False
            counts = self._describe(day, tally)
            progress.add(counts)
            _tell(counts if as_json else _line(counts))
            if (day + 1) % DAYS == 0:
                week = week_report(self._world, self._plan, progress.days, day // DAYS)
                _tell(week if as_json else week_lines(week))
        return True

    def _day(self, day: int) -> tuple[DayTally, bool]:
        tally = DayTally()

        async def visit() -> None:
            async with AsyncClient(self._address, **self._options) as client:
                await live(client, self._world, self._calendar, day, self._plan, tally)

        return tally, run_whole(visit())

    def _describe(self, day: int, tally: DayTally) -> DayCounts:
        counts = tally.to_json()
        return {
            "day": day, "date": f"{self._calendar.date(day):%Y-%m-%d}", "week": day // DAYS,
            "weekend": self._calendar.is_weekend(day), **counts, "arms": [rated(arm) for arm in counts["arms"]],
        }  # fmt: skip


def week_report(world: World, plan: LivingPlan, days: list[DayCounts], week: int) -> dict[str, Any]:
    """The sums of the days of a week that are there, and the truth of the week."""
    of_week = [day for day in days if day["week"] == week]
    truth = truth_of(world, week, plan.clicks, plan.limit).to_json()
    return {"week": week, "days": len(of_week), **total(of_week), "truth": truth}


def week_lines(week: dict[str, Any]) -> str:
    """For people."""
    truth = week["truth"]
    lines = [
        f"week {week['week']}: {truth['present']:,} listeners, {truth['arrived']:,} came, {truth['left']:,} left, "
        f"{truth['new_playlists']:,} new playlists, {truth['changed']:.0%} of the likes are new",
        "  expected like rates: "
        + ", ".join(f"{name} {truth[name]:.4f}" for name in ("oracle", "follows", "stale", "popular")),
    ]
    rows = [
        (arm["version"], arm["arm"], f"{arm['calls']:,}", f"{arm['likes']:,}", _share(arm["like_rate"]),
         _share(arm["cold_share"]))
        for arm in week.get("arms", ())
    ]  # fmt: skip
    if rows:
        told = table(("version", "arm", "calls", "likes", "like rate", "cold"), rows, right=range(2, 6))
        lines += [f"  {line}" for line in told.splitlines()]
    return "\n".join(lines)


_HEADERS = "day  date        visits  failed  likes  like rate  bots' visits"


def _line(day: DayCounts) -> str:
    likes, shown = (sum(arm[name] for arm in day["arms"]) for name in ("likes", "impressions"))
    rate = _share(likes / shown if shown else None)
    mark = " weekend" if day["weekend"] else ""
    return (
        f"{day['day']:>3}  {day['date']}  {day['visits']:>6,}  {day['errors']:>6,}  {likes:>5,}  {rate:>9}  "
        f"{day['bots']['visits']:>12,}{mark}"
    )


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.4f}"


def _tell(body: dict[str, Any] | str) -> None:
    say(body if isinstance(body, str) else json.dumps(body))
    with suppress(OSError):
        sys.stdout.flush()
