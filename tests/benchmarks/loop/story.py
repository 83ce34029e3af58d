"""A state directory of the loop, and the commands that work in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spotify_buddies.clients.command.invoke import command

VISITS, UNSEEN, SPAN, WEEKS = 1_000, 3, 14, 6
START_S = 180.0
SETTINGS = {
    "BUDDIES_SERVE__EVENT_TIMES": "true",
    # On two cores that also simulate the listeners, a history that is late is still a history.
    "BUDDIES_SERVE__STORE_BUDGET_MS": "2000",
}


class Failed(Exception):
    """A command did not do what the loop needs; args[0] says which."""


class Loop:
    """A state directory, and the commands that work in it."""

    def __init__(self, state: Path) -> None:
        self.state, self.began, self.seconds = state, time.monotonic(), dict[str, float]()
        self._environment = {**os.environ, **SETTINGS, "BUDDIES_STATE_DIR": str(state)}
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.start = today - timedelta(days=today.weekday()) - timedelta(weeks=WEEKS)

    @property
    def took_s(self) -> float:
        """Seconds since it began."""
        return round(time.monotonic() - self.began, 1)

    def date(self, number: int) -> datetime:
        """The midnight with which a day of the world begins."""
        return self.start + timedelta(days=number)

    def day(self, number: int) -> str:
        """Its date."""
        return f"{self.date(number):%Y-%m-%d}"

    def prepare(self) -> None:
        """Made-up data, and a version that knows no feedback."""
        for arguments in (("data", "synth"), ("data", "build"), ("pair", "build"), ("train", "run")):
            self.run(*arguments)
        self.say("version 1 is trained, without any feedback")

    def run(self, *arguments: str, fails: bool = False, **settings: str) -> str:
        """Run a command; its standard output. fails: whether it has to."""
        began = time.monotonic()
        done = subprocess.run(
            command(*arguments), env={**self._environment, **settings}, capture_output=True, text=True, check=False
        )
        name = " ".join(arguments[:2])
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began
        if (done.returncode != 0) != fails:
            raise Failed(f"buddies {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2_000:]}")
        return done.stderr if fails else done.stdout

    @contextmanager
    def serving(self) -> Iterator[None]:
        """A service until the block ends."""
        began = time.monotonic()
        log = (self.state / "service.log").open("wb")
        process = subprocess.Popen(
            command("serve", "start", "--any-port"),
            env=self._environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while not (self.state / "serving.json").exists():
                if process.poll() is not None or time.monotonic() > began + START_S:
                    raise Failed(f"the service did not start: {(self.state / 'service.log').read_text()[-2_000:]}")
                time.sleep(0.1)
            self.seconds["serve start"] = time.monotonic() - began
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            log.close()

    def live(self, until: int) -> list[dict[str, Any]]:
        """The days before this one; the weeks that ended."""
        told = self.run(
            "simulate", "run", "--world", "weeks", "--visits-per-day", str(VISITS), "--unseen-days", str(UNSEEN),
            "--state", str(self.state / "weeks.json"), "--start", self.day(0), "--until-day", str(until), "--json",
        )  # fmt: skip
        weeks = [line for line in map(json.loads, told.splitlines()) if "truth" in line]
        for week in weeks:
            if week["failed"]:
                raise Failed(f"calls failed in week {week['week']}: {week['failed']}")
            rates = ", ".join(f"version {arm['version']} {arm['like_rate']:.4f}" for arm in week["arms"])
            self.say(f"week {week['week']}: like rate {rates}")
        return weeks

    def say(self, text: str) -> None:
        """A line for people, with the seconds so far."""
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", file=sys.stderr, flush=True)
