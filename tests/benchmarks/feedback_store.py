"""What one committed Feedback costs in the store, with a Postgres of its own on the same machine.

    python tests/benchmarks/feedback_store.py                      this tree, at 1, 8, 32 and 64 callers
    python tests/benchmarks/feedback_store.py --tree ../other      beside other trees of the source, in turn
    python tests/benchmarks/feedback_store.py --profile 60         32 callers for long, for `py-spy record` and `perf`

Callers store one like each and wait for its commit before the next. Each tree has a process and an embedded Postgres of
its own, and all of them stay for the whole run; every round measures each tree at each number of callers, one after the
other. The table tells the medians of the rounds. On a machine that does other things as well the processor time (user
and system) of a feedback says more than the clock. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parents[2]
Figures = dict[str, float]
UNITS = {
    "per_s": "feedbacks/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "batch": "in one commit",
    "process_ms": "process ms", "postgres_ms": "Postgres ms", "wal_bytes": "WAL bytes",
}  # fmt: skip


def main() -> None:
    """Measure and print; as the process of one tree, measure what is asked for on standard input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, action="append", default=[])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--profile", type=float)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker)
        return
    trees = [HERE, *(tree.resolve() for tree in given.tree)]
    callers, rounds, seconds = given.callers, given.rounds, given.seconds
    if given.profile:
        trees, callers, rounds, seconds = trees[:1], [32], 1, given.profile
    show(measure(trees, callers, rounds, seconds))


def measure(
    trees: Sequence[Path], callers: Sequence[int], rounds: int, seconds: float
) -> dict[tuple[int, Path], list[Figures]]:
    """Figures of every round by callers and tree."""
    found: dict[tuple[int, Path], list[Figures]] = defaultdict(list)
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="feedback-"))
        # Postgres runs as another user where this is root.
        os.chmod(directory, 0o755)
        workers = {}
        for number, tree in enumerate(trees):
            command = [sys.executable, str(Path(__file__).resolve()), "--worker", f"{directory}/{number}"]
            environment = os.environ | {"PYTHONPATH": str(tree)}
            workers[tree] = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            )
            print(f"{tree}: process {json.loads(_ask(workers[tree], None))}", flush=True)
        for count in callers:
            for worker in workers.values():
                _ask(worker, {"callers": count, "seconds": 1.0})
        for _ in range(rounds):
            for count in callers:
                for tree, worker in workers.items():
                    found[count, tree].append(json.loads(_ask(worker, {"callers": count, "seconds": seconds})))
        for worker in workers.values():
            worker.stdin.close()  # type: ignore[union-attr]
    return found


def _ask(worker: subprocess.Popen[str], question: dict[str, float] | None) -> str:
    assert worker.stdin is not None
    assert worker.stdout is not None
    if question is not None:
        worker.stdin.write(json.dumps(question) + "\n")
        worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise SystemExit("a process that measured has ended; see what it said above")
    return line


def show(found: dict[tuple[int, Path], list[Figures]]) -> None:
    """Print medians, and their ratio to those of this tree."""
    print(f"{'callers':>8}" + "".join(f"{unit:>15}" for unit in UNITS.values()) + "  tree")
    for (callers, tree), rounds in found.items():
        figures = [statistics.median(one[name] for one in rounds) for name in UNITS]
        print(f"{callers:>8}" + "".join(f"{figure:>15,.2f}" for figure in figures) + f"  {tree}")


def work(directory: Path) -> None:
    """Start Postgres, say which process this is, and measure as often as it is asked to."""
    from serve_app.embedded import postgres

    directory.mkdir()
    with postgres(directory / "postgres") as url, asyncio.Runner() as runner:
        print(os.getpid(), flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            print(json.dumps(runner.run(store(url, asked["callers"], asked["seconds"]))), flush=True)


async def store(url: str, callers: int, seconds: float) -> Figures:
    """Figures of so many callers for so long, without the time that the store takes to open."""
    import psycopg

    from serve_app.store.actions import Feedback
    from serve_app.store.store import Store
    from serve_app.telemetry import Silent

    commits: list[int] = []
    taken: list[float] = []

    class Counting(Silent):
        def time_commit(self, seconds: float, actions: int) -> None:
            commits.append(actions)

    async def call(store: Store, caller: int, run: str, until: float) -> None:
        number = 0
        while (started := time.perf_counter()) < until:
            number += 1
            about = f"{hash((caller, number)) & (2**64 - 1):016x}"
            await store.store(
                Feedback(
                    f"{run}-{about}", f"user-{number * 7919 % 100_000}", (f"playlist-{about[:4]}",), (), (),
                    f"load-{run}-{caller}-{number}", "0123456789ab", "production",
                )
            )  # fmt: skip
            taken.append(time.perf_counter() - started)

    with psycopg.connect(url, autocommit=True) as connection:
        server = int(connection.execute("SELECT pg_backend_pid()").fetchone()[0])  # type: ignore[index]
        postmaster = psutil.Process(server).parent()
        assert postmaster is not None
        async with Store(url, telemetry=Counting()) as opened:
            await call(opened, -1, f"{time.time_ns():x}", 0.0)  # makes the tables
            await asyncio.gather(*(call(opened, i, f"{time.time_ns():x}", time.perf_counter() + 0.3) for i in range(4)))
            commits.clear(), taken.clear()
            before = (_cpu_s(postmaster), time.process_time(), _wal_bytes(connection))
            started = time.perf_counter()
            run = f"{time.time_ns():x}"
            await asyncio.gather(*(call(opened, i, run, started + seconds) for i in range(callers)))
            spent = time.perf_counter() - started
            after = (_cpu_s(postmaster), time.process_time(), _wal_bytes(connection))
    count = len(taken)
    ranked = sorted(taken)
    return {
        "per_s": count / spent,
        "p50_ms": ranked[count // 2] * 1e3,
        "p99_ms": ranked[count * 99 // 100] * 1e3,
        "batch": count / len(commits),
        "postgres_ms": (after[0] - before[0]) * 1e3 / count,
        "process_ms": (after[1] - before[1]) * 1e3 / count,
        "wal_bytes": (after[2] - before[2]) / count,
    }


def _cpu_s(postmaster: psutil.Process) -> float:
    """Processor seconds of the server and its processes, those that have ended among them."""
    own = postmaster.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for process in postmaster.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return float(total)


def _wal_bytes(connection: object) -> float:
    import psycopg

    assert isinstance(connection, psycopg.Connection)
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert row is not None
    return float(row[0])


if __name__ == "__main__":
    main()
