"""What one committed Feedback costs in the store, with a Postgres of its own on the same machine.

    python tests/benchmarks/feedback_store.py                      this tree, at several numbers of callers and rates
    python tests/benchmarks/feedback_store.py --tree ../other      beside other trees of the source, in turn
    python tests/benchmarks/feedback_store.py --profile 60         32 callers for long, for `py-spy record` and `perf`

Callers store one like each and wait for its commit before the next; here they all come back at once, and share the
next commit. At a rate the likes come one by one, at even times whatever the store does, more as they do in a service.

Each tree has a process and an embedded Postgres of its own, and all of them stay for the whole run; every round
measures each tree at each number of callers and each rate, one after the other. The table tells the medians of the
rounds. On a machine that does other things as well the processor time (user and system) of a feedback says more than
the clock. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import selectors
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from trees import HERE, Figures, Meter, ask, measuring, show

WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'"
UNITS = {
    "per_s": "feedbacks/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "batch": "in one commit",
    "process_ms": "process ms", "postgres_ms": "Postgres ms", "wal_bytes": "WAL bytes",
}  # fmt: skip


def main() -> None:
    """Measure and print; as the process of one tree, measure what is asked for on standard input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, action="append", default=[])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--rates", type=int, nargs="*", default=[200, 800, 1500])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--profile", type=float)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        answer(given.worker)
        return
    trees = [HERE, *(tree.resolve() for tree in given.tree)]
    works = [Work(callers=callers) for callers in given.callers] + [Work(rate=rate) for rate in given.rates]
    rounds, seconds = given.rounds, given.seconds
    if given.profile:
        trees, works, rounds, seconds = trees[:1], [Work(rate=1500)], 1, given.profile
    show(measure(trees, works, rounds, seconds), UNITS)


@dataclass(frozen=True)
class Work:
    """So many callers, or where there are none so many likes a second."""

    callers: int = 0
    rate: int = 0

    def __str__(self) -> str:
        return f"{self.callers} callers" if self.callers else f"{self.rate:,}/s"


def measure(
    trees: Sequence[Path], works: Sequence[Work], rounds: int, seconds: float
) -> dict[tuple[Work, Path], list[Figures]]:
    """Figures of every round by work and tree."""
    rounds_of: dict[tuple[Work, Path], list[Figures]] = defaultdict(list)
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="feedback-"))
        # Postgres runs as another user where this is root.
        Path(directory).chmod(0o755)
        workers = {}
        for number, tree in enumerate(trees):
            workers[tree] = stack.enter_context(measuring(Path(__file__), tree, f"{directory}/{number}"))
            print(f"{tree}: process {json.loads(ask(workers[tree]))}", flush=True)
        for worker in workers.values():
            ask(worker, {**asdict(Work(callers=32)), "seconds": 1.0})
        for _ in range(rounds):
            for work in works:
                for tree, worker in workers.items():
                    figures = json.loads(ask(worker, {**asdict(work), "seconds": seconds}))
                    rounds_of[work, tree].append(figures)
    return rounds_of


def answer(directory: Path) -> None:
    """Start Postgres, say which process this is, and measure as often as it is asked to."""
    from spotify_buddies.serve_app.embedded import postgres

    directory.mkdir()
    # Its timers go by microseconds; epoll's round up to the next millisecond.
    with postgres(directory / "postgres") as url, asyncio.Runner(loop_factory=new_loop) as runner:
        print(os.getpid(), flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            seconds = asked.pop("seconds")
            print(json.dumps(runner.run(store(url, Work(**asked), seconds))), flush=True)


def new_loop() -> asyncio.AbstractEventLoop:
    """As in clients/load/worker.py, which may not be imported from another tree."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def store(url: str, asked: Work, seconds: float) -> Figures:
    """Figures of the work for so long, without the time that the store takes to open."""
    from spotify_buddies.serve_app.store.store import Store
    from spotify_buddies.serve_app.telemetry.metrics import Silent

    commits: list[int] = []

    class Counting(Silent):
        def time_commit(self, seconds: float, actions: int) -> None:
            commits.append(actions)

    with psycopg.connect(url, autocommit=True) as connection:
        async with Store(url, telemetry=Counting()) as opened:
            likes = Likes(opened)
            await asyncio.gather(*(likes.in_turn(time.perf_counter() + 0.3) for _ in range(4)))
            commits.clear()
            likes.taken.clear()
            meter, started = Meter(connection, WAL), time.perf_counter()
            if asked.rate:
                await likes.at_rate(asked.rate, started, started + seconds)
            await asyncio.gather(*(likes.in_turn(started + seconds) for _ in range(asked.callers)))
            figures = meter.figures(likes.taken)
    count = len(likes.taken)
    return {**figures, "batch": count / len(commits), "wal_bytes": figures["counted"] / count}


class Likes:
    """One like after the other, each of its own. taken: seconds until each was committed."""

    def __init__(self, opened: Any) -> None:
        self._store = opened
        self._run = f"{time.time_ns():x}"
        self._numbers = itertools.count()
        self.taken: list[float] = []

    async def in_turn(self, until: float) -> None:
        """One caller, who waits for each commit before the next."""
        while (started := time.perf_counter()) < until:
            await self._once(started)

    async def at_rate(self, rate: int, start: float, until: float) -> None:
        """At even times, whatever the store does."""
        async with asyncio.TaskGroup() as tasks:
            for number in itertools.count():
                due = start + number / rate
                if due > until:
                    return
                if (wait_s := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait_s)
                tasks.create_task(self._once(due))

    async def _once(self, started: float) -> None:
        from spotify_buddies.serve_app.store.actions import Feedback

        number = next(self._numbers)
        about = f"{hash(number * 7919) & (2**64 - 1):016x}"
        await self._store.store(
            Feedback(
                f"{self._run}-{about}", f"user-{number * 7919 % 100_000}", (f"playlist-{about[-4:]}",), (), (),
                f"load-{self._run}-{number}", "0123456789ab", "production",
            )
        )  # fmt: skip
        self.taken.append(time.perf_counter() - started)


if __name__ == "__main__":
    main()
