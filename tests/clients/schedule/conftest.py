"""Schedulers beside a real Postgres, and the history that they write."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.migrate import migrate
from tests.waiting import WITHIN_S, wait_until

# Every second; a command that is quick, one that fails, and one that goes on until it is ended.
ALWAYS = "* * * * * *"
QUICK = ("--version",)
FAILING = ("store", "nothing")
ENDLESS = ("rollout", "status", "--watch")
NAMES = ("simulate", "upkeep", "drift", "caused", "extract", "retrain", "rollout", "daily")


@dataclass
class Field:
    """A state directory with a settings file, and the schedulers in it."""

    home: Path
    url: str
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def configure(self, stop_within_s: float = WITHIN_S, **jobs: dict[str, Any]) -> None:
        """The jobs that are named are on, all others off."""
        lines = [f'postgres_url = "{self.url}"', f'state_dir = "{self.home}"', "[schedule]"]
        lines.append(f"stop_within_s = {stop_within_s}")
        for name in NAMES:
            job = {"cron": ALWAYS, "enabled": True, "timeout_s": WITHIN_S, **jobs[name]} if name in jobs else None
            lines.append(f"[schedule.{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in (job or {"enabled": False}).items()]
        (self.home / "buddies.toml").write_text("\n".join(lines), encoding="utf-8")

    def start(self) -> subprocess.Popen[str]:
        """A scheduler as a process; its log is a file of its number."""
        log = (self.home / f"log-{len(self.processes)}").open("w", encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BUDDIES_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "spotify_buddies.clients.main", "schedule", "run"],
            cwd=self.home, env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=log, stderr=log, text=True,
        )  # fmt: skip
        log.close()
        self.processes.append(process)
        return process

    def log(self, number: int) -> str:
        return (self.home / f"log-{number}").read_text(encoding="utf-8")

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def runs(self, job: str) -> list[tuple[str | None, int | None, str]]:
        """Outcome, exit code and output of a job's runs, in order."""
        return self.ask("SELECT outcome, exit_code, said FROM schedule_runs WHERE job = %s ORDER BY id", job)

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        try:
            return wait_until(condition, what)
        except AssertionError as error:
            logs = [self.log(number) for number in range(len(self.processes))]
            raise AssertionError(f"{error}; logs: {logs}") from None


@pytest.fixture
def place(postgres_url: str, tmp_path: Path) -> Iterator[Field]:
    """A database with the schema and no history. What is started ends with the test."""
    import asyncio

    async def make() -> None:
        async with await connect(postgres_url, connect_s=WITHIN_S) as connection:
            await connection.execute("DROP SCHEMA public CASCADE")
            await connection.execute("CREATE SCHEMA public")
            await migrate(connection)

    asyncio.run(make())
    made = Field(tmp_path, postgres_url)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(WITHIN_S)


def settings_of(place: Field) -> Any:
    """The settings that its file makes."""
    from spotify_buddies.clients.command.settings import read_settings
    from spotify_buddies.clients.schedule.settings import ScheduleSettings

    return read_settings({"schedule": ScheduleSettings}, file=place.home / "buddies.toml", environment={})
