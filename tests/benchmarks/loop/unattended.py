"""The same six weeks with nobody at the keyboard: `buddies schedule run` alone, its clock simulated."""

from __future__ import annotations

import json
from typing import Any

from tests.benchmarks.loop.story import SPAN, UNSEEN, VISITS, WEEKS, Loop

CONFIG = """[schedule]
start = "{start}"

[schedule.simulate]
enabled = true
cron = "0 0 * * *"
timeout_s = 3600
arguments = ["simulate", "run", "--world", "weeks", "--visits-per-day", "{visits}", "--unseen-days", "{unseen}",
             "--state", "{{state}}/weeks.json", "--start", "{start}", "--until-day", "{{days}}", "--json"]

[schedule.drift]
cron = "30 1 * * MON"

[schedule.decide]
enabled = true
cron = "30 0 {decide}"

[schedule.caused]
enabled = false

[schedule.retrain]
cron = "0 2 {retrain}"
arguments = ["schedule", "retrain", "--window", "28d", "--until", "{{until}}", "--json"]

[schedule.rollout]
cron = "0 3 {retrain}"
arguments = ["schedule", "start-rollout", "--percent", "50", "--manual", "--json"]

[schedule.daily]
enabled = false
"""


def live_alone(loop: Loop) -> dict[str, Any]:
    """Prepare a version, serve it, and let the schedule do everything else; what its jobs did."""
    loop.prepare()
    retrained, decided = (SPAN, 2 * SPAN), (2 * SPAN, 3 * SPAN)
    config = loop.state / "schedule.toml"
    config.write_text(
        CONFIG.format(
            start=loop.day(0), visits=VISITS, unseen=UNSEEN, decide=_days(loop, decided), retrain=_days(loop, retrained)
        )
    )
    until = loop.day(WEEKS * 7)
    with loop.serving():
        told = loop.run(
            "--config", str(config), "schedule", "run", "--clock", "simulated", "--from", loop.day(0), "--until",
            f"{until}T01:00:00Z",
        )  # fmt: skip
        runs = [json.loads(line) for line in told.splitlines()]
        history = json.loads(loop.run("rollout", "history", "--json"))
    promoted = [one for one in history if one["action"] == "promote" and one["state"] == "active"]
    return {
        "runs": runs[-1],
        "promoted": [{"version": one["wanted"]["production"], "why": one["why"]} for one in promoted],
        "took_s": loop.took_s,
    }


def _days(loop: Loop, days: tuple[int, ...]) -> str:
    """Day of the month, month and weekday of a cron expression for these days of the world.

    Of two days in two months it names two more, which lie outside of the weeks or have nothing to do.
    """
    dates = [loop.date(day) for day in days]
    return ",".join(str(one.day) for one in dates) + " " + ",".join(str(one.month) for one in dates) + " *"
