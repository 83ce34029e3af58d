"""What the question of `exclude_seen` costs in the store, over many lists shown, in a Postgres of its own.

    python tests/benchmarks/seen.py                           1,000,000 lists shown, this tree
    python tests/benchmarks/seen.py --tree ../other           beside other trees of the source, in turn
    python tests/benchmarks/seen.py --rows 1e6 1e7 --data D   several sizes; the databases stay in D for the next time
    python tests/benchmarks/seen.py --sorted                  weeks in the order of users, as upkeep leaves them
    python tests/benchmarks/seen.py --cold --rates 20         nothing of the tables in memory when a round begins

The lists are made in the server: 90 days of them, evenly, each ten of the 75 playlists that its user may get, and
a like for every fifth list; one user for every 100 lists, some far more active than others (the user of a list
is the number n * u ** 1.5 for an even u), and who is more active asks more. Callers ask in turn, together so many times
a second whatever the answers do, for 60 days, one user each, and record a list after every answer, as the service
does. Hogs are processes that only compute.

Every round measures each tree at each rate, one after the other; the table tells the medians of the rounds. On a
machine that does other things as well the ratio of two trees says more than either. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from seen_lists import PLAYLISTS, depth, fill, lay_in_order
from trees import HERE, Figures, Meter, ask, measuring, show

WINDOW_DAYS = 60
SAMPLE = 20_000
# Connections that were made to this database.
SESSIONS = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
UNITS = {
    "per_s": "asked/s", "skipped": "skipped %", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "sessions": "connections made",
    "process_ms": "process ms", "postgres_ms": "Postgres ms",
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """So many questions a second of so many callers, beside processes that compute. cold: see above."""

    callers: int
    rate: int
    hogs: int
    cold: bool

    def __str__(self) -> str:
        return f"{self.rate:,}/s, {self.hogs} hogs{', cold' if self.cold else ''}"


def main() -> None:
    """Measure and print; as the process of one tree, measure what is asked for on standard input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, action="append", default=[])
    parser.add_argument("--rows", type=lambda text: int(float(text)), nargs="+", default=[1_000_000])
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--rates", type=int, nargs="+", default=[300, 500])
    parser.add_argument("--hogs", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--sorted", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        answer(given.worker)
        return
    trees = [HERE, *(tree.resolve() for tree in given.tree)]
    works = [Work(given.callers, rate, hogs, given.cold) for rate in given.rates for hogs in given.hogs]
    with server(given.data) as (url, data):
        for rows in given.rows:
            database = fill(url, rows)
            if given.sorted:
                lay_in_order(database)
            print(f"\n{rows:,} lists: {depth(database)}", flush=True)
            show(measure(trees, works, database, data, given.rounds, given.seconds), UNITS)


@contextmanager
def server(data: Path | None) -> Iterator[tuple[str, Path]]:
    """A Postgres with its data there, or in a directory that goes with it; its address and its directory."""
    from spotify_buddies.serve_app.embedded import postgres

    with ExitStack() as stack:
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seen-")))
            # Postgres runs as another user where this is root.
            data.chmod(0o755)
        directory = data.resolve() / "postgres"
        yield stack.enter_context(postgres(directory)), directory


def measure(
    trees: Sequence[Path], works: Sequence[Work], database: str, data: Path, rounds: int, seconds: float
) -> dict[tuple[Work, Path], list[Figures]]:
    """Figures of every round by work and tree."""
    rounds_of: dict[tuple[Work, Path], list[Figures]] = defaultdict(list)
    with ExitStack() as stack:
        workers = {tree: stack.enter_context(measuring(Path(__file__), tree, database)) for tree in trees}
        for _ in range(rounds):
            for work in works:
                for tree, worker in workers.items():
                    if work.cold:
                        forget(data)
                    with hogs(work.hogs):
                        figures = json.loads(ask(worker, {**asdict(work), "seconds": seconds}))
                        rounds_of[work, tree].append(figures)
    return rounds_of


def forget(data: Path) -> None:
    """Have the system forget the files of the tables; what Postgres holds itself (128 MiB) stays."""
    for path in (data / "base").rglob("*"):
        with suppress(OSError):
            file = os.open(path, os.O_RDONLY)
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


@contextmanager
def hogs(count: int) -> Iterator[None]:
    """So many processes that only compute."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def answer(url: str) -> None:
    """Measure as often as it is asked to."""
    with psycopg.connect(url) as connection:
        percent = SAMPLE * 3_000 / max(1, connection.execute("SELECT sum(reltuples) FROM pg_class").fetchone()[0])  # type: ignore[index]
        users = [
            user_id
            for (user_id,) in connection.execute(
                f"SELECT user_id FROM impressions TABLESAMPLE SYSTEM ({min(100.0, percent)})".encode()
            )
        ]
    random.shuffle(users)
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            asked = json.loads(line)
            seconds = asked.pop("seconds")
            print(json.dumps(runner.run(question(url, Work(**asked), seconds, users))), flush=True)


async def question(url: str, asked: Work, seconds: float, users: list[str]) -> Figures:
    """Figures of the work for so long, without the time that the store takes to open."""
    from spotify_buddies.serve_app.store.store import Store

    with psycopg.connect(url, autocommit=True) as connection:
        async with Store(url) as store:
            meter, start = Meter(connection, SESSIONS), time.perf_counter() + 0.1
            callers = Callers(store, users, asked.callers / asked.rate, start + seconds)
            await asyncio.gather(*(callers.call(start + place / asked.rate) for place in range(asked.callers)))
            figures = meter.figures(callers.taken)
    return {**figures, "sessions": figures["counted"], "skipped": 100 * callers.skipped / len(callers.taken)}


class Callers:
    """Who asks, each every `pause_s` until that time. taken: seconds of each question. skipped: without an answer."""

    def __init__(self, store: Any, users: list[str], pause_s: float, until: float) -> None:
        self._store, self._users, self._pause_s, self._until = store, users, pause_s, until
        self._names = [f"playlist-{number}" for number in range(PLAYLISTS)]
        self.taken: list[float] = []
        self.skipped = 0

    async def call(self, due: float) -> None:
        """One caller, who asks first at that time."""
        from spotify_buddies.serve_app.errors import HistoryUnavailable

        window = timedelta(days=WINDOW_DAYS)
        while due < self._until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            user_id = random.choice(self._users)
            started = time.perf_counter()
            try:
                await self._store.seen([user_id], datetime.now(UTC) - window, shown=True, liked=True)
            except HistoryUnavailable:
                self.skipped += 1
            self.taken.append(time.perf_counter() - started)
            self._record(user_id, started)
            due += self._pause_s

    def _record(self, user_id: str, started: float) -> None:
        from spotify_buddies.serve_app.ranking.history import Shown
        from spotify_buddies.serve_app.ranking.query import Source

        rows = np.array([random.sample(range(PLAYLISTS), 10)], np.int32)
        self._store.record(
            Shown(
                (user_id,), (f"rec-{started}",), (Source.LIVE,), rows, np.array([10], np.int32), self._names,
                "0123456789ab", "production", datetime.now(UTC),
            )
        )  # fmt: skip


if __name__ == "__main__":
    main()
