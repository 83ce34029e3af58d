"""Where the slowest calls of a rollout spent their time: the drill `swaps` beside a sampler of the threads that answer.

    python -m tests.benchmarks.swap_stalls --register BUNDLE STATE_DIR    # three versions of a drawn bundle, once
    BUDDIES_STATE_DIR=STATE_DIR buddies serve start --any-port &
    python -m tests.benchmarks.swap_stalls STATE_DIR --swaps 20 --rate 600
    python -m tests.benchmarks.swap_stalls STATE_DIR --steady 60          # no swap: what makes the p99 of a soak
    python -m tests.benchmarks.swap_stalls STATE_DIR --unwatched 5        # five drills without the sampler, which costs

A process of its own reads /proc every 10 ms: of each replica's event loop, its loading threads (those of low priority)
and its other threads, of HAProxy and of the thread that makes the calls, the time on a processor, the time that it
could run and others had the processors, and page faults. For each of the slowest 100 calls, from when it was due until
it ended, the table says what those did; "blocked" is the rest: Python's lock, a page from the disk, or nothing to do.
The last column names what fits best. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
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
from spotify_buddies.clients.drills.framework.apart import TrafficApart
from spotify_buddies.clients.drills.framework.drill import Options, Stage
from spotify_buddies.clients.drills.framework.service import ServiceUnderTest, attached
from spotify_buddies.clients.drills.framework.traffic import Call, Traffic, Users
from spotify_buddies.clients.drills.rollout import swaps
from spotify_buddies.clients.python import Song, Taste
from spotify_buddies.foundation.terminal.tables import table

TICK_S, SLOWEST, SETTLE_S = 0.01, 100, 2.0
CLIENT, FRONT = "client", "haproxy"
MODEL = "organic-playlists"

Numbers = tuple[float, float, int]
Row = dict[str, Any]


def read_thread(path: Path) -> Numbers:
    """Seconds run, seconds waited for a processor, page faults of a thread so far."""
    ran, waited, _ = map(int, (path / "schedstat").read_text().split())
    words = (path / "stat").read_text().rpartition(")")[2].split()
    return ran / 1e9, waited / 1e9, int(words[7]) + int(words[9])


def sample(loops: dict[str, str], others: dict[str, list[str]], ended: threading.Event) -> None:
    """Write one JSON line per tick until `ended`: the time and, for each group of threads, the sums of its numbers.

    loops: the event loop's thread by replica; its other threads are looked up again every second.
    """
    groups, ticks = dict(others), 0
    while not ended.wait(TICK_S):
        if ticks % round(1 / TICK_S) == 0:
            for pid, loop in loops.items():
                groups |= threads_of(pid, loop)
        ticks += 1
        row: Row = {"at": time.time()}
        for name, paths in groups.items():
            sums = [0.0, 0.0, 0]
            for path in map(Path, paths):
                with suppress(OSError):
                    sums = [a + b for a, b in zip(sums, read_thread(path), strict=True)]
            row[name] = sums
        sys.stdout.write(json.dumps(row) + "\n")


def threads_of(pid: str, loop: str) -> dict[str, list[str]]:
    """The threads of a replica, as paths: its loop, those of low priority, the others."""
    groups: dict[str, list[str]] = {"loop": [], "load": [], "rest": []}
    with suppress(OSError):
        for number in (path.name for path in Path(f"/proc/{pid}/task").iterdir()):
            kind = "loop" if number == loop else "load" if os.getpriority(os.PRIO_PROCESS, int(number)) > 0 else "rest"
            groups[kind].append(f"/proc/{pid}/task/{number}")
    return {f"{kind} {pid}": paths for kind, paths in groups.items()}


def busiest(process: psutil.Process) -> str:
    """The thread that used the processors most in a second: under traffic, the event loop's."""
    before = {one.id: one.user_time + one.system_time for one in process.threads()}
    time.sleep(1.0)
    spent = {one.id: one.user_time + one.system_time - before.get(one.id, 0.0) for one in process.threads()}
    return str(max(spent, key=spent.__getitem__))


class Watched(TrafficApart):
    """Traffic whose service is sampled. rows: what was sampled."""

    service: ServiceUnderTest
    last: Watched | None = None

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.rows: list[Row] = []
        Watched.last = self

    @contextmanager
    def running(self) -> Iterator[Traffic]:
        """As TrafficApart.running."""
        with super().running():
            time.sleep(SETTLE_S)
            loops = {str(one.pid): busiest(one) for one in self.service.find("replica")}
            (caller,) = multiprocessing.active_children()
            others = {
                CLIENT: [f"/proc/{caller.pid}/task/{busiest(psutil.Process(caller.pid))}"],
                FRONT: [f"/proc/{one.pid}/task/{one.pid}" for one in self.service.find("haproxy")],
            }
            sampler = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.swap_stalls", "--sample", json.dumps([loops, others])],
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
        self.rows = [json.loads(line) for line in written]


def during(rows: Sequence[Row], first: float, last: float) -> dict[str, Numbers]:
    """What each group of threads did from the last tick before `first` to the first one after `last`."""
    before = max((row for row in rows if row["at"] <= first), key=lambda row: row["at"], default=None)
    after = min((row for row in rows if row["at"] >= last), key=lambda row: row["at"], default=None)
    if before is None or after is None:
        return {}
    return {
        name: tuple(b - a for a, b in zip(before[name], after[name], strict=True)) for name in after if name != "at"
    }  # type: ignore[misc]


def cause(call: Call, did: dict[str, Numbers]) -> str:
    """What was most of a call's time, in words; of several replicas' threads the one that did it longest."""
    shares = Counter[str]()
    for name, numbers in did.items():
        for what, value in zip(("ran", "waited for a processor"), numbers[:2], strict=True):
            kind = f"{name.split()[0]} {what}"
            shares[kind] = max(shares[kind], value)
    (best, longest), *_ = shares.most_common(1) or [("not sampled", call.latency_s)]
    return best if longest > call.latency_s / 3 else "blocked, all of them"


def report(watched: Watched, spans: Sequence[tuple[float, float]], path: Path | None) -> None:
    """Print the causes of the slowest calls, and the slowest twenty of them."""
    calls = sorted((call for first, last in spans for call in watched.between(first, last)), key=_latency)[-SLOWEST:]
    rows, counted = [], Counter[str]()
    for call in reversed(calls):
        did = during(watched.rows, call.due, call.ended)
        why = cause(call, did)
        counted[why] += 1
        cells = [f"{name} {n[0] * 1e3:.0f}/{n[1] * 1e3:.0f}/{n[2]}" for name, n in did.items()]
        rows.append((f"{call.due:.3f}", milliseconds(call.latency_s), call.method, "  ".join(cells), why))
    print(table(("cause", "calls"), [(why, str(count)) for why, count in counted.most_common()], right=(1,)))
    head = ("due", "latency", "kind", "ms on a processor/waiting for one/page faults meanwhile", "cause")
    print(table(head, rows[:20]))
    if path is not None:
        calls_made = [dataclasses.asdict(call) for call in watched.calls]
        path.write_text(json.dumps({"calls": calls_made, "rows": watched.rows, "spans": spans}, default=str))


def _latency(call: Call) -> float:
    return call.latency_s


def users_of(state_dir: Path) -> Users:
    """Users of the served bundle, and tastes."""
    os.environ["BUDDIES_STATE_DIR"] = str(state_dir)
    drawn = answer("serve", "sample", "--count", "2000")
    return Users(drawn["user_ids"], [Taste([Song(*song) for song in taste]) for taste in drawn["tastes"]])


def register(bundle: Path, state_dir: Path) -> None:
    """Register a bundle and two equal ones in a state directory, with figures that the controller accepts."""
    from spotify_buddies.trainer.registry.derive import derive_version
    from spotify_buddies.trainer.registry.derived_kinds import DerivedKind
    from spotify_buddies.trainer.registry.mlflow_client import tracking_uri
    from spotify_buddies.trainer.registry.registry import Registry
    from spotify_buddies.trainer.registry.transfer import finished_run

    (state_dir / "mlflow").mkdir(parents=True, exist_ok=True)
    registry = Registry(tracking_uri(state_dir), MODEL)
    first = registry.register(bundle, finished_run(registry, "drawn", "drawn", {}))
    versions = [first, *(derive_version(registry, first, DerivedKind.SAME, "drawn", seed=s).version for s in (1, 2))]
    for version in versions:
        # A drawn bundle has no figures, and nothing without one becomes production.
        registry.tag(version, {"metrics": json.dumps({"random/mrr": 0.5, "hard/mrr": 0.5})})


def compare(stage: Stage, times: int) -> None:
    """Play the drill again and again; print one line for each."""
    quiet = dataclasses.replace(stage, say=lambda _: None)
    for _ in range(times):
        result = swaps.play(quiet)
        windows = result.figures["windows"]
        before, during = (windows[name] for name in ("before", "during"))
        ratio = during["p99_s"] / before["p99_s"]
        print(
            f"{result.figures['calls_per_s']:.0f} calls/s: p50 {milliseconds(before['p50_s'])}, "
            f"{milliseconds(during['p50_s'])} in the swaps; p99 {milliseconds(before['p99_s'])}, "
            f"{milliseconds(during['p99_s'])}, {ratio:.2f} times; {result.failed} of {result.requests:,} calls failed",
            flush=True,
        )


def main() -> None:
    """Run the drill, or calm traffic, and explain its slowest calls."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state_dir", type=Path, nargs="?")
    parser.add_argument("--register", type=Path, metavar="BUNDLE")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--steady", type=float, help="so many seconds without a swap, instead of the drill")
    parser.add_argument("--unwatched", type=int, metavar="TIMES", help="the drill alone, so many times")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--write", type=Path, help="everything, as JSON")
    parser.add_argument("--sample", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sample:
        ended = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        sample(*json.loads(options.sample), ended)
        return
    if options.register:
        register(options.register, options.state_dir)
        return
    users = users_of(options.state_dir)
    with attached(options.state_dir) as service:
        Watched.service = service
        stage = Stage(service, users, Options(MODEL, options.swaps, options.rate), print)
        if options.steady:
            traffic = Watched(stage.address, users, stage.rate())
            with traffic.running():
                first = time.time()
                time.sleep(options.steady)
            window = Window.of(traffic.between(first, first + options.steady))
            print(f"{traffic.rate:.0f} calls/s; p50 {milliseconds(window.p50_s)}, p99 {milliseconds(window.p99_s)}")
            report(traffic, [(first, first + options.steady)], options.write)
            return
        if options.unwatched:
            compare(stage, options.unwatched)
            return
        setattr(swaps, "TrafficApart", Watched)  # noqa: B010
        result = swaps.play(stage)
    print("\n".join(result.lines), *result.problems, sep="\n")
    if Watched.last is not None:
        report(Watched.last, [span for swap in result.figures["swaps"] for span in swap["spans"]], options.write)


if __name__ == "__main__":
    main()
