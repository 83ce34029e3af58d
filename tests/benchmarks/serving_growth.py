"""How the cost of serving grows with its work: users, playlists a call, users a call, connections.

    python -m tests.benchmarks.serving_growth DIRECTORY                          10 k, 100 k and 1 M users
    python -m tests.benchmarks.serving_growth DIRECTORY --users 10000 --seconds 1
    python -m tests.benchmarks.serving_growth DIRECTORY --plot docs/benchmarks-serving.svg --json

DIRECTORY gets a drawn bundle for every size (4 GB and some minutes for a million users; one that is there is used
again). Each is served with two replicas and asked by `buddies load`. Prints tables, and for each line of the plot one
sentence: the exponent e of "cost grows as size ** e" over the whole line. A call that asks for more may cost as much
more (e up to 1.1); more users or connections must not make the same call dearer than by cache misses (e up to 0.15).
Nothing here is a test.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from spotify_buddies.clients.command.endpoints import running
from spotify_buddies.clients.command.invoke import stop
from spotify_buddies.clients.python import Client
from spotify_buddies.trainer.bench.serving import Shape, write_serving_bundle
from spotify_buddies.trainer.reports.plots import curves

SIZES = (10_000, 100_000, 1_000_000)
# The size on which limits, batches and connections are tried.
USUAL = 100_000
LIMITS, BATCHES, CONNECTIONS = (5, 20, 50, 100), (1, 10, 100, 1_000), (1, 10, 100, 1_000)
RATE = 500.0
WITHIN_S = 300.0
# Lines on which a call's work grows, on the others it is the same: the songs of a taste have more listeners, the more
# users there are.
PROPORTIONAL = ("playlists a call", "users a call", "users: a taste a call")
MOST_PROPORTIONAL, MOST_SAME = 1.1, 0.15
# In the command line of a Recommender's process.
REPLICA = "ServeReplica:buddies:Recommender"


@dataclass(frozen=True)
class Case:
    """One measurement. work: the number that grows along `line`; options: of `buddies load`."""

    line: str
    work: int
    options: tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """What one case cost. server_ms: processor time of all the service's processes a call; p50_ms, p99_ms: latency."""

    line: str
    work: int
    users: int
    calls_per_s: float
    server_ms: float
    p50_ms: float
    p99_ms: float
    failed: int


@dataclass(frozen=True)
class Started:
    """One size served. first_answer_s: from starting the command; *_mib: of the replicas' processes and of all.

    private: pages that no other process shares (USS), a mean of the replicas; whole: the proportional share (PSS) of
    every process of the service, so that pages which several of them map count once.
    """

    users: int
    first_answer_s: float
    replica_private_mib: float
    whole_mib: float


def cases(users: int) -> list[Case]:
    """What a bundle of this many users is asked."""
    one = ("--callers", "32", "--processes", "1")
    made = [
        Case("users: one a call", users, one),
        Case("users: one caller", users, ("--callers", "1")),
        Case("users: a taste a call", users, (*one, "--mix", "taste")),
        Case("users: 1,000 a call", users, ("--callers", "4", "--users-per-call", "1000", "--timeout", "30")),
    ]
    if users == USUAL:
        made += [Case("playlists a call", limit, (*one, "--limit", str(limit))) for limit in LIMITS]
        made += [
            Case("users a call", batch, ("--callers", "4", "--users-per-call", str(batch), "--timeout", "30"))
            for batch in BATCHES
        ]
        made += [
            Case(f"connections, {RATE:g} calls/s", count, _open(count)) for count in CONNECTIONS
        ]  # fmt: skip
    return made


def _open(connections: int) -> tuple[str, ...]:
    return ("--rate", f"{RATE:g}", "--callers", str(max(connections, 100)), "--connections", str(connections))


@contextmanager
def served(bundle: Path, state_dir: Path, users: int) -> Iterator[tuple[Started, int]]:
    """Start the service on a bundle; what the start cost, and the command's process id. It stops with the block."""
    environment = {
        **os.environ,
        "BUDDIES_STATE_DIR": str(state_dir),
        "BUDDIES_SERVE__REPLICAS": "2",
        "BUDDIES_SERVE__MAX_REPLICAS": "2",
    }
    began = time.monotonic()
    with (state_dir / "service.log").open("wb") as log:
        process = subprocess.Popen(
            _buddies("serve", "start", "--bundle", str(bundle), "--any-port"),
            stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        first_answer_s = _first_answer(state_dir, process, began)
        yield _memory(process.pid, users, first_answer_s), process.pid
    finally:
        stop(process, WITHIN_S)


def _first_answer(state_dir: Path, process: subprocess.Popen[bytes], began: float) -> float:
    """Seconds until a Recommend was answered. RuntimeError: the service ended or took too long."""
    while time.monotonic() - began < WITHIN_S and process.poll() is None:
        endpoints = running(state_dir)
        if endpoints is not None and endpoints.pid == process.pid:
            with Client(endpoints.grpc, timeout_s=10.0) as client:
                client.recommend(["nobody-has-this-id"])
            return time.monotonic() - began
        time.sleep(0.05)
    raise RuntimeError(f"the service does not answer: {(state_dir / 'service.log').read_text()[-2_000:]}")


def _memory(pid: int, users: int, first_answer_s: float) -> Started:
    private, whole = [], 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            taken, name = process.memory_full_info(), " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        whole += taken.pss / 2**20
        if REPLICA in name:
            private.append(taken.uss / 2**20)
    return Started(users, round(first_answer_s, 2), round(statistics.mean(private), 1), round(whole, 1))


def _buddies(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "spotify_buddies.clients.main", *arguments]


def ask(case: Case, users: int, state_dir: Path, seconds: float) -> Point:
    """Measure one case with `buddies load`. RuntimeError: it measured nothing."""
    options = ("--duration", f"{seconds:g}", "--warmup", "1", "--rounds", "3", "--json")
    done = subprocess.run(
        _buddies("load", *case.options, *options),
        env={**os.environ, "BUDDIES_STATE_DIR": str(state_dir)},
        capture_output=True, text=True, timeout=WITHIN_S + 10 * seconds, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr[-2_000:]}")
    measured = json.loads(done.stdout)["service"]
    latency = measured["latency_ms"]
    return Point(
        case.line, case.work, users, measured["calls_per_s"], measured["cpu_ms_per_call"],
        latency["p50"], latency["p99"], measured["failed"],
    )  # fmt: skip


def exponent(points: Sequence[Point]) -> float:
    """Of the first and the last point: server_ms grows as work ** exponent. NaN for fewer than two points."""
    if len(points) < 2:
        return math.nan
    first, last = points[0], points[-1]
    return math.log(last.server_ms / first.server_ms) / math.log(last.work / first.work)


def sentences(lines: dict[str, list[Point]]) -> list[str]:
    """One for each line: from where to where, and whether the cost grows faster than the work."""
    said = []
    for name, points in lines.items():
        first, last, grows = points[0], points[-1], exponent(points)
        most = MOST_PROPORTIONAL if name in PROPORTIONAL else MOST_SAME
        verdict = "GROWS FASTER THAN ITS WORK" if grows > most else "no faster than its work"
        said.append(
            f"{name}, {first.work:,} to {last.work:,}: {first.server_ms:.3f} to {last.server_ms:.3f} ms of processor "
            f"time a call, exponent {grows:.2f}: {verdict}"
        )
    return said


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--users", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each of the three rounds of a case")
    parser.add_argument("--plot", type=Path, help="write the plot to this SVG")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    starts: list[Started] = []
    lines: dict[str, list[Point]] = {}
    for users in given.users:
        bundle = given.directory / f"drawn-{users}"
        if not bundle.exists():
            write_serving_bundle(bundle, Shape(users=users, playlists=users * 9 // 5))
        with (
            tempfile.TemporaryDirectory(prefix="buddies-growth-") as state_dir,
            served(bundle, Path(state_dir), users) as (started, _),
        ):
            starts.append(started)
            for case in cases(users):
                point = ask(case, users, Path(state_dir), given.seconds)
                lines.setdefault(case.line, []).append(point)
                if not given.json:
                    print(point, flush=True)
    _tell(starts, lines, as_json=given.json)
    if given.plot:
        given.plot.write_text(plot(lines), encoding="utf-8")


def plot(lines: dict[str, list[Point]]) -> str:
    """Every line with both axes logarithmic, as an SVG text that reads on light and dark paper."""
    points = {name: [(point.work, point.server_ms) for point in line] for name, line in lines.items()}
    drawn = curves(points, "Processor time of a call against its work", "work", "ms of the servers' processors")
    return drawn.replace("currentColor", "#555555").replace("<svg", '<svg style="background:#ffffff"', 1) + "\n"


def _tell(starts: Sequence[Started], lines: dict[str, list[Point]], *, as_json: bool) -> None:
    if as_json:
        said: dict[str, Any] = {
            "starts": [asdict(one) for one in starts],
            "points": [asdict(point) for line in lines.values() for point in line],
            "exponents": {name: exponent(line) for name, line in lines.items()},
        }
        print(json.dumps(said, indent=1))
        return
    _rows(
        ("users", "first answer, s", "a replica alone, MiB", "whole service, MiB"),
        [(f"{one.users:,}", one.first_answer_s, one.replica_private_mib, one.whole_mib) for one in starts],
    )
    _rows(
        ("line", "size", "calls/s", "server ms a call", "p50 ms", "p99 ms", "failed"),
        [
            (
                one.line,
                f"{one.work:,}",
                f"{one.calls_per_s:,.0f}",
                f"{one.server_ms:.3f}",
                one.p50_ms,
                one.p99_ms,
                one.failed,
            )
            for line in lines.values()
            for one in line
        ],
    )
    print("\n" + "\n".join(sentences(lines)))


def _rows(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print(f"\n| {' | '.join(heads)} |\n|{' --: |' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    main()
