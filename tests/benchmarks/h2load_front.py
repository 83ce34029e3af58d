"""The front by h2load, whose cost does not limit: the service, bare grpc.aio and the published way to serve.

    python -m tests.benchmarks.h2load_front BUNDLE                     2 replicas; 32 connections and one; 5 rounds
    python -m tests.benchmarks.h2load_front BUNDLE --rounds 9 --json
    python -m tests.benchmarks.h2load_front BUNDLE --soak 600          the service alone, at 60 % of its calls/s

BUNDLE: a bundle's directory. Starts on it a service, `buddies serve plain`, and `buddies serve peer reference` and
`fastapi`, and asks each for one listener, in turn, another one first in each round. h2load (Debian: nghttp2-client)
sends one request again and again, one call at a time on each connection, over HTTP/2 to gRPC and over HTTP/1.1 to
FastAPI. h2load does not read gRPC's trailers: the answer is decoded before, and every burst must bring as many bytes
for each call. The listener is the same in all calls, so its rows stay in the processor's caches, for all servers alike.
Processor time is of all processes of a server, Ray's own and the stores' too. Prints medians; nothing here is a test.

A soak sends on a schedule, on each connection so many calls a second and up to eight at a time, so that a call which is
late holds up few others; h2load notes when each began and how long it took.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from spotify_buddies.clients.load.peers.catalogue import PEERS, PeerName
from spotify_buddies.clients.load.peers.own_service import OwnService, own_service
from spotify_buddies.clients.load.plan import Protocol
from spotify_buddies.clients.load.rounds import Server
from spotify_buddies.clients.load.sample import ask
from spotify_buddies.clients.load.targets import Row
from spotify_buddies.clients.load.usage import Usage, Watch, environment
from spotify_buddies.clients.load.worker.rest import PATH
from spotify_buddies.foundation.terminal.tables import table
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

SERVICE = "service"
BARE, REFERENCE, FASTAPI = PeerName.BARE, PeerName.REFERENCE, PeerName.FASTAPI
RECOMMEND = "/buddies.v1.RecommenderService/Recommend"
LIMIT = 5
WARM_UP_S = 1.0
MANY, ONE = 32, 1
# Of a service's tree: what a call passes through; the rest is Ray's and the stores' own.
ANSWERING = ("haproxy", "ray::ServeReplica:buddies:Recommender")


@dataclass
class Asked:
    """A server, and the call that it gets. answer: what it answered at first; ids: the playlists in it."""

    server: Server
    url: str
    body: Path
    headers: tuple[str, ...]
    answer: bytes
    ids: list[str]
    bursts: dict[int, list[Burst]] = field(default_factory=dict)

    def median(self, connections: int, figure: str) -> float:
        """Of all rounds."""
        return statistics.median(getattr(burst, figure) for burst in self.bursts[connections])


@dataclass(frozen=True)
class Burst:
    """One run of h2load. cpu_ms: a call, of all the server's processes; front_cpu_ms: of those that it passes."""

    calls_per_s: float
    cpu_ms: float
    front_cpu_ms: float


def grpc_call(server: Server, user_id: str, place: Path) -> Asked:
    """A Recommend, checked once. grpc.RpcError: it is refused."""
    request = pb.RecommendRequest(user_ids=[user_id], limit=LIMIT, explain=True).SerializeToString()
    with grpc.insecure_channel(server.address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        answer: bytes = channel.unary_unary(RECOMMEND)(request, timeout=30.0)
    ids = [playlist.playlist_id for playlist in pb.RecommendResponse.FromString(answer).recommendations[0].playlists]
    body = place / f"{server.name}.grpc"
    body.write_bytes(b"\0" + len(request).to_bytes(4, "big") + request)
    headers = ("content-type: application/grpc", "te: trailers")
    # With the five bytes before a message of gRPC.
    return Asked(server, f"http://{server.address}{RECOMMEND}", body, headers, b"\0" * 5 + answer, ids)


def rest_call(server: Server, user_id: str, place: Path) -> Asked:
    """A call of the published shape, checked once. OSError: it is refused."""
    body, url = place / f"{server.name}.json", f"http://{server.address}{PATH}"
    body.write_text(json.dumps({"user_ids": [user_id]}))
    headers = {"content-type": "application/json"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body.read_bytes(), headers), timeout=30.0) as response:
        answer = response.read()
    return Asked(server, url, body, ("content-type: application/json",), answer, json.loads(answer)[0]["playlists"])


def burst(asked: Asked, connections: int, seconds: float) -> Burst:
    """Load for so long. RuntimeError: a call failed, or was answered with another number of bytes."""
    options = ["-D", f"{round(1000 * seconds)}ms", "-c", str(connections), "-m", "1", "-t", "1", "-d", str(asked.body)]
    options += ["--h1"] if asked.server.protocol is Protocol.REST else []
    headers = [part for header in asked.headers for part in ("-H", header)]
    watch = Watch(asked.server.pids)
    watch.began()
    done = subprocess.run(["h2load", *options, *headers, asked.url], capture_output=True, text=True, check=False)
    watch.ended()
    if done.returncode != 0:
        raise RuntimeError(f"{asked.server.name}: h2load ended with {done.returncode}: {done.stdout}{done.stderr}")
    calls, size = _calls(done.stdout, asked), len(asked.answer)
    received = int(_found(r"traffic: .*\((\d+)\) data", done.stdout))
    # Answers that arrive after the end are in the bytes and not in the calls.
    if not 0.98 * size * calls <= received <= 1.02 * size * (calls + connections):
        raise RuntimeError(f"{asked.server.name}: {received / calls:.1f} bytes a call, {size} in the answer checked")
    usage = watch.usage()
    return Burst(calls / seconds, 1000 * usage.cpu_s / calls, 1000 * _front_cpu_s(usage) / calls)


def _calls(said: str, asked: Asked) -> int:
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
    if counts is None or counts[1] == "0" or any(counts[k] != "0" for k in (2, 3, 4)):
        raise RuntimeError(f"{asked.server.name}: calls failed or none was made: {said}")
    return int(counts[1])


def _found(pattern: str, said: str) -> str:
    match = re.search(pattern, said)
    if match is None:
        raise RuntimeError(f"h2load says nothing like {pattern!r}: {said}")
    return match[1]


def _front_cpu_s(usage: Usage) -> float:
    named = [process for process in usage.processes if process.name.startswith(ANSWERING)]
    return sum(process.cpu_s for process in named) if named else usage.cpu_s


def soak(asked: Asked, seconds: float, share: float, place: Path) -> dict[str, Any]:
    """Calls on a schedule, at a share of what a burst reaches; latencies in ms, of all and by minute."""
    burst(asked, MANY, WARM_UP_S)
    capacity = statistics.median(burst(asked, MANY, 3.0).calls_per_s for _ in range(3))
    each, log = max(1, round(share * capacity / MANY)), place / "calls.tsv"
    headers = [part for header in asked.headers for part in ("-H", header)]
    watch = Watch(asked.server.pids)
    watch.began()
    done = subprocess.run(
        ["h2load", "-D", f"{round(1000 * seconds)}ms", "-c", str(MANY), "-m", "8", "-t", "1", "-d", str(asked.body),
         "--rps", str(each), "--log-file", str(log), *headers, asked.url],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    watch.ended()
    calls = _calls(done.stdout, asked)
    began, status, took = np.loadtxt(log, np.int64, delimiter="\t", unpack=True)
    if (status != 200).any():
        raise RuntimeError(f"{int((status != 200).sum())} calls failed")
    minutes = (began - began.min()) // 60_000_000
    return {
        "capacity": round(capacity, 1), "asked_per_s": each * MANY, "calls_per_s": round(calls / seconds, 1),
        "calls": calls, "cpu_ms_per_call": round(1000 * watch.usage().cpu_s / calls, 4), **_quantiles(took),
        "minutes": [_quantiles(took[minutes == minute]) for minute in np.unique(minutes)],
    }  # fmt: skip


def _quantiles(took_us: np.ndarray) -> dict[str, float]:
    p50, p99 = np.quantile(took_us, (0.5, 0.99)) / 1000
    return {"p50_ms": round(p50, 3), "p99_ms": round(p99, 3), "p99_over_p50": round(p99 / p50, 2)}


def measure(every: Sequence[Asked], rounds: int, seconds: float) -> None:
    """All servers in turn, another one first in each round, for each number of connections."""
    for connections in (MANY, ONE):
        for asked in every:
            burst(asked, connections, WARM_UP_S)
            asked.bursts[connections] = []
        for number in range(rounds):
            first = number % len(every)
            for asked in (*every[first:], *every[:first]):
                asked.bursts[connections].append(burst(asked, connections, seconds))
            print(f"{connections} connection(s): round {number + 1} of {rounds}", file=sys.stderr)


def ratio(of: Asked, to: Asked, connections: int, figure: str) -> float:
    """Median of the ratios round by round."""
    pairs = zip(of.bursts[connections], to.bursts[connections], strict=True)
    return statistics.median(getattr(ours, figure) / getattr(theirs, figure) for ours, theirs in pairs)


def targets(service: Asked, bare: Asked, reference: Asked) -> list[Row]:
    """What the front is judged by."""
    many = f"one user a call, {MANY} connections"
    return [
        Row(many, "processor ms a call, all processes", service.median(MANY, "cpu_ms"), most=0.40),
        Row(many, "calls/s, times bare grpc.aio's", ratio(service, bare, MANY, "calls_per_s"), least=1.8),
        Row(many, "calls/s, times the published way's", ratio(service, reference, MANY, "calls_per_s"), least=6.0),
    ]


def figures(every: Sequence[Asked], service: Asked) -> list[dict[str, Any]]:
    """A row for each number of connections and server."""
    return [
        {
            "connections": connections,
            "server": asked.server.name,
            "calls_per_s": round(asked.median(connections, "calls_per_s"), 1),
            "service_over": None if asked is service else round(ratio(service, asked, connections, "calls_per_s"), 3),
            "cpu_ms_per_call": round(asked.median(connections, "cpu_ms"), 4),
            "front_cpu_ms_per_call": round(asked.median(connections, "front_cpu_ms"), 4),
            "rounds": [round(one.calls_per_s, 1) for one in asked.bursts[connections]],
        }
        for connections in (MANY, ONE)
        for asked in every
    ]


def report(rows: Sequence[dict[str, Any]], goals: Sequence[Row], load: str) -> str:
    """For people."""
    headers = ("connections", "server", "calls/s", "service / it", "processor ms a call", "without Ray and stores")
    cells = [
        (row["connections"], row["server"], f"{row['calls_per_s']:,.0f}", row["service_over"] or "",
         f"{row['cpu_ms_per_call']:.3f}", f"{row['front_cpu_ms_per_call']:.3f}")
        for row in rows
    ]  # fmt: skip
    said = [row.to_json() for row in goals]
    met = [(one["work"], one["figure"], one["target"], one["reached"], "yes" if one["met"] else "no") for one in said]
    return "\n".join((
        table(headers, cells, right=(0, 2, 3, 4, 5)), "",
        table(("work", "figure", "target", "reached", "met"), met), "", load,
    ))  # fmt: skip


def started_service(stack: ExitStack, bundle: Path) -> OwnService:
    """The service of two replicas, until the stack ends."""
    return stack.enter_context(own_service(bundle, {"replicas": "2", "max_replicas": "2"}))


def started(stack: ExitStack, bundle: Path, place: Path) -> list[Asked]:
    """The servers, until the stack ends, each asked once; all must answer the same playlists."""
    own = started_service(stack, bundle)
    # The bare server stores what it shows in the service's Postgres, as the service does.
    os.environ["BUDDIES_STATE_DIR"] = str(own.state_dir)
    service = Server(SERVICE, own.endpoints.grpc, (own.endpoints.pid,))
    peers = [stack.enter_context(PEERS[name].started(bundle)) for name in (BARE, REFERENCE, FASTAPI)]
    user_id = ask(1, bundle).user_ids[0]
    every = [
        (rest_call if server.protocol is Protocol.REST else grpc_call)(server, user_id, place)
        for server in (service, *peers)
    ]
    first, bare, reference, fastapi = every
    # The published ranking has no rules, so it may differ in some.
    if not first.ids == bare.ids == fastapi.ids or len(reference.ids) != LIMIT:
        raise RuntimeError(f"they do not answer alike: {[(asked.server.name, asked.ids) for asked in every]}")
    return every


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--soak", type=float, metavar="SECONDS")
    parser.add_argument("--share", type=float, default=0.6, help="of the calls a second, in a soak")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if shutil.which("h2load") is None:
        sys.exit("h2load is not installed; on Debian: apt-get install nghttp2-client")
    machine = environment()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="h2load-")))
        if given.soak:
            own = started_service(stack, given.bundle)
            server = Server(SERVICE, own.endpoints.grpc, (own.endpoints.pid,))
            asked = grpc_call(server, ask(1, given.bundle).user_ids[0], place)
            print(json.dumps(soak(asked, given.soak, given.share, place), indent=1))
            return
        every = started(stack, given.bundle, place)
        measure(every, given.rounds, given.seconds)
    rows, goals = figures(every, every[0]), targets(*every[:3])
    after = environment()["load_average"]
    load = f"load average {machine['load_average'][0]:g} before, {after[0]:g} after, {machine['usable_cores']} cores"
    if given.json:
        body = {"environment": machine, "rows": rows, "targets": [goal.to_json() for goal in goals], "load": load}
        print(json.dumps(body, indent=1))
    else:
        print(report(rows, goals, load))


if __name__ == "__main__":
    main()
