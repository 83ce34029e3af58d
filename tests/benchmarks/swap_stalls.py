"""Where the slowest calls of a rollout spent their time: the drill `swaps` beside a sampler of the threads that answer.

    buddies serve start --any-port &            # of a state directory with a registered version, trained or drawn
    python -m tests.benchmarks.swap_stalls STATE_DIR --swaps 20 --rate 600
    python -m tests.benchmarks.swap_stalls STATE_DIR --steady 60 --rate 600       # no swap: what makes the p99 of a soak

A process of its own reads /proc every 10 ms: of each replica's event loop, its loading threads (those of low priority)
and its other threads, of HAProxy and of the thread that makes the calls, the time on a processor, the time that it
could run and others had the processors, and page faults. For each of the slowest 100 calls, from when it was due until
it ended, the table says what those did; "blocked" is the rest: Python's lock, a page from the disk, or nothing to do.
The last column names what fits best. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from spotify_buddies.clients.command.invoke import answer
from spotify_buddies.clients.drills.framework.account import Window, milliseconds
from spotify_buddies.clients.drills.framework.drill import Options, Stage
from spotify_buddies.clients.drills.framework.service import ServiceUnderTest, attached
from spotify_buddies.clients.drills.framework.traffic import Call, Traffic, Users
from spotify_buddies.clients.drills.rollout import swaps
from spotify_buddies.clients.python import Song, Taste
from spotify_buddies.foundation.terminal.tables import table

TICK_S, SLOWEST, SETTLE_S = 0.01, 100, 2.0
CLIENT, FRONT = "client", "haproxy"
# A collection that takes less is not worth a line.
LONG_S = 0.005

Numbers = tuple[float, float, int]
Row = dict[str, Any]


def read_thread(path: Path) -> Numbers:
    """Seconds run, seconds waited for a processor, page faults of a thread so far."""
    ran, waited, _ = map(int, (path / "schedstat").read_text().split())
    words = (path / "stat").read_text().rpartition(")")[2].split()
    return ran / 1e9, waited / 1e9, int(words[7]) + int(words[9])


def sample(groups: dict[str, list[str]], ended: threading.Event) -> None:
    """Write one JSON line per tick until `ended`: the time and, for each group of threads, the sums of its numbers."""
    places = {name: list(map(Path, paths)) for name, paths in groups.items()}
    while not ended.wait(TICK_S):
        row: Row = {"at": time.time()}
        for name, paths in places.items():
            sums = [0.0, 0.0, 0]
            for path in paths:
                with suppress(OSError):
                    sums = [a + b for a, b in zip(sums, read_thread(path), strict=True)]
            row[name] = sums
        sys.stdout.write(json.dumps(row) + "\n")


def threads_of(process: psutil.Process) -> dict[str, list[str]]:
    """The threads of a replica under traffic, as paths: its loop, the busiest; those of low priority; the others."""
    before = {one.id: one.user_time + one.system_time for one in process.threads()}
    time.sleep(1.0)
    after = {one.id: one.user_time + one.system_time for one in process.threads()}
    loop = max(after, key=lambda number: after[number] - before.get(number, 0.0))
    groups: dict[str, list[str]] = {"loop": [], "load": [], "rest": []}
    for number in after:
        kind = "loop" if number == loop else "load" if os.getpriority(os.PRIO_PROCESS, number) > 0 else "rest"
        groups[kind].append(f"/proc/{process.pid}/task/{number}")
    return {f"{kind} {process.pid}": paths for kind, paths in groups.items()}


class Watched(Traffic):
    """Traffic whose service is sampled. rows: what was sampled; collections: (start, seconds) of this process's own."""

    service: ServiceUnderTest
    last: Watched | None = None

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.rows: list[Row] = []
        self.collections: list[tuple[float, float]] = []
        self.began = time.time()
        Watched.last = self

    @contextmanager
    def running(self) -> Iterator[Traffic]:
        """As Traffic.running."""
        gc.callbacks.append(self._collected)
        with super().running():
            time.sleep(SETTLE_S)
            # Threads that load are there after the first swap; what comes later counts among no group.
            groups = {name: paths for one in self.service.find("replica") for name, paths in threads_of(one).items()}
            me = next(thread.native_id for thread in threading.enumerate() if thread.name == "traffic")
            groups[CLIENT] = [f"/proc/{os.getpid()}/task/{me}"]
            groups[FRONT] = [f"/proc/{one.pid}/task/{one.pid}" for one in self.service.find("haproxy")]
            sampler = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.swap_stalls", "--sample", json.dumps(groups)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            written: list[str] = []
            reader = threading.Thread(target=lambda: written.extend(sampler.stdout or ()))
            reader.start()
            try:
                yield self
            finally:
                if sampler.stdin is not None:
                    sampler.stdin.close()
                sampler.wait()
                reader.join()
        gc.callbacks.remove(self._collected)
        self.rows = [json.loads(line) for line in written]

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self.began = time.time()
        elif (seconds := time.time() - self.began) > LONG_S:
            self.collections.append((self.began, seconds))


def during(rows: Sequence[Row], first: float, last: float) -> dict[str, Numbers]:
    """What each group of threads did from the last tick before `first` to the first one after `last`."""
    before = max((row for row in rows if row["at"] <= first), key=lambda row: row["at"], default=None)
    after = min((row for row in rows if row["at"] >= last), key=lambda row: row["at"], default=None)
    if before is None or after is None:
        return {}
    return {
        name: tuple(b - a for a, b in zip(before[name], after[name], strict=True)) for name in after if name != "at"
    }  # type: ignore[misc]


def cause(call: Call, did: dict[str, Numbers], collections: Sequence[tuple[float, float]]) -> str:
    """What was most of a call's time, in words."""
    if (
        sum(seconds for start, seconds in collections if start < call.ended and start + seconds > call.due)
        > call.latency_s / 3
    ):
        return "collection in the client"
    shares = {f"{name.split()[0]} {what}": max(0.0, value) for name, numbers in did.items()
              for what, value in zip(("ran", "waited for a processor"), numbers[:2], strict=True)}  # fmt: skip
    for name, numbers in did.items():
        kind = name.split()[0]
        for what, value in zip(("ran", "waited for a processor"), numbers[:2], strict=True):
            shares[f"{kind} {what}"] = max(shares[f"{kind} {what}"], value)
    best = max(shares, key=shares.__getitem__, default="not sampled")
    return best if shares and shares[best] > call.latency_s / 3 else "nothing ran: blocked"


def report(watched: Watched, spans: Sequence[tuple[float, float]], path: Path | None) -> None:
    """Print the causes of the slowest calls, and the slowest twenty of them."""
    calls = sorted((call for first, last in spans for call in watched.between(first, last)), key=_latency)[-SLOWEST:]
    rows, counted = [], Counter[str]()
    for call in reversed(calls):
        did = during(watched.rows, call.due, call.ended)
        why = cause(call, did, watched.collections)
        counted[why] += 1
        cells = [f"{name} {n[0] * 1e3:.0f}/{n[1] * 1e3:.0f}/{n[2]}" for name, n in did.items()]
        rows.append((f"{call.due:.3f}", milliseconds(call.latency_s), call.method, "  ".join(cells), why))
    print(table(("cause", "calls"), [(why, str(count)) for why, count in counted.most_common()], right=(1,)))
    head = ("due", "latency", "kind", "ms on a processor/waiting for one/page faults meanwhile", "cause")
    print(table(head, rows[:20]))
    if path is not None:
        path.write_text(json.dumps({"calls": [dataclasses.asdict(call) for call in watched.calls],
                                    "rows": watched.rows, "gc": watched.collections, "spans": spans}, default=str))  # fmt: skip


def _latency(call: Call) -> float:
    return call.latency_s


def users_of(state_dir: Path) -> Users:
    """Users of the served bundle, and tastes."""
    os.environ["BUDDIES_STATE_DIR"] = str(state_dir)
    drawn = answer("serve", "sample", "--count", "2000")
    return Users(drawn["user_ids"], [Taste([Song(*song) for song in taste]) for taste in drawn["tastes"]])


def main() -> None:
    """Run the drill, or calm traffic, and explain its slowest calls."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state_dir", type=Path, nargs="?")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--steady", type=float, help="so many seconds without a swap, instead of the drill")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--write", type=Path, help="everything, as JSON")
    parser.add_argument("--sample", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sample:
        ended = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        sample(json.loads(options.sample), ended)
        return
    users = users_of(options.state_dir)
    with attached(options.state_dir) as service:
        Watched.service = service
        stage = Stage(service, users, Options("organic-playlists", options.swaps, options.rate), print)
        if options.steady:
            traffic = Watched(stage.address, users, stage.rate())
            with traffic.running():
                first = time.time()
                time.sleep(options.steady)
            window = Window.of(traffic.between(first, first + options.steady))
            print(f"{traffic.rate:.0f} calls/s; p50 {milliseconds(window.p50_s)}, p99 {milliseconds(window.p99_s)}")
            report(traffic, [(first, first + options.steady)], options.write)
            return
        setattr(swaps, "Traffic", Watched)  # noqa: B010
        result = swaps.play(stage)
    print("\n".join(result.lines), *result.problems, sep="\n")
    if Watched.last is not None:
        report(Watched.last, [span for swap in result.figures["swaps"] for span in swap["spans"]], options.write)


if __name__ == "__main__":
    main()
