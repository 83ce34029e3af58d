"""Where the processor time of one call goes in a running service, for one listener asked for by h2load.

    python -m tests.benchmarks.call_profile STATE_DIRECTORY                  the service that runs for this directory
    python -m tests.benchmarks.call_profile STATE_DIRECTORY --seconds 30

Of every process of the service: processor time, waits and preemptions a call. Of one replica: the time by what it does,
from py-spy's samples of the thread that holds Python's lock; C code counts for the line that calls it. Needs h2load
(package nghttp2-client) and py-spy, which must be allowed to look at the processes. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import re
import struct
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import psutil

from spotify_buddies.clients.command.endpoints import running
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.trainer.bundle import open_bundle

REPLICA = "ServeReplica:buddies:Recommender"
PATH = "/buddies.v1.RecommenderService/Recommend"
# By the innermost frame that one of them matches: what is done there.
PARTS = (
    ("answer written to the socket", r"Connection\._answer \("),
    ("HTTP/1.1: request read, answer framed", r"http1/"),
    ("protobuf: request parsed and read", r"_decode |decode_query |api/codec\.py|grpc_registration\.py|api/inflate"),
    ("ids checked", r"_query_violations|are_ids|text/ids\.py"),
    ("places and counts of Ray Serve", r"direct_handlers\.py|ray/serve/_private/replica\.py|asyncio/locks\.py"),
    ("admission, deadline, status", r"api/status\.py|api/admission\.py|asyncio/timeouts\.py|api/servicer\.py"),
    ("kernel: find, rank, reasons, encode", r"encoding/single\.py"),
    ("version, arm, rules, blocked rows", r"versions/|ranking/|api/service\.py|arrays/"),
    ("impressions to Postgres", r"store/|psycopg"),
    ("metrics", r"telemetry/|ray/util/metrics|ray/serve/metrics|prometheus"),
    ("Ray's own work beside calls", r"ray/"),
)
REST = "event loop and everything else"


def part_of(stack: str) -> str:
    """What a sampled stack is doing; frames are separated by semicolons, the innermost is the last."""
    for frame in reversed(stack.split(";")):
        for name, pattern in PARTS:
            if re.search(pattern, frame):
                return name
    return REST


def look(pid: int) -> dict[int, tuple[str, float, int, int]]:
    """Of every process below: its name, processor seconds, waits and preemptions so far."""
    seen = {}
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            words, times, switches = process.cmdline(), process.cpu_times(), process.num_ctx_switches()
        except psutil.NoSuchProcess:
            continue
        name = Path(words[0].split()[0]).name if words else process.name()
        seen[process.pid] = name, times.user + times.system, switches.voluntary, switches.involuntary
    return seen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state_directory", type=Path)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--streams", type=int, default=8)
    given = parser.parse_args()
    endpoints = running(given.state_directory)
    if endpoints is None:
        raise SystemExit("no service runs for this state directory; start one: buddies serve start")
    user = open_bundle(Path(endpoints.bundle), check_hashes=False).user_ids.table[77]
    message = pb.RecommendRequest(user_ids=[user], limit=5, explain=True).SerializeToString()
    with tempfile.TemporaryDirectory(prefix="buddies-profile-") as scratch:
        body, samples = Path(scratch) / "body", Path(scratch) / "samples"
        body.write_bytes(struct.pack(">BI", 0, len(message)) + message)
        replica = next(pid for pid, (name, *_) in look(endpoints.pid).items() if REPLICA in name)
        calls, spent = _asked(given, endpoints.pid, endpoints.grpc, body)
        with subprocess.Popen(
            ["py-spy", "record", "--gil", "--nonblocking", "-r", "1000", "-f", "raw", "-o", str(samples),
             "-d", str(max(1, given.seconds - 4)), "-p", str(replica)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as spy:  # fmt: skip
            _asked(given, endpoints.pid, endpoints.grpc, body)
            spy.wait(60)
        _tell(calls, spent, samples.read_text())


def _asked(given: argparse.Namespace, pid: int, address: str, body: Path) -> tuple[int, dict[str, tuple[float, ...]]]:
    """Calls answered, and by kind of process the seconds, waits and preemptions that they took."""
    before = look(pid)
    done = subprocess.run(
        ["h2load", "-c", str(given.connections), "-m", str(given.streams), "-D", str(given.seconds), "-d", str(body),
         "-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{address}{PATH}"],
        capture_output=True, text=True, check=True, timeout=given.seconds + 60,
    ).stdout  # fmt: skip
    after = look(pid)
    found = re.search(r"(\d+) succeeded", done)
    if found is None or not int(found[1]):
        raise SystemExit(done)
    spent: dict[str, tuple[float, ...]] = {}
    for key, (name, *numbers) in after.items():
        first = before.get(key, (name, 0.0, 0, 0))[1:]
        more = spent.get(name, (0.0, 0.0, 0.0))
        spent[name] = tuple(x + now - then for x, now, then in zip(more, numbers, first, strict=True))
    return int(found[1]), spent


def _tell(calls: int, spent: dict[str, tuple[float, ...]], samples: str) -> None:
    print(f"{calls:,} calls\n\n| process | us a call | waits a call | preemptions a call |\n| --- | --: | --: | --: |")
    for name, (seconds, waits, taken) in sorted(spent.items(), key=lambda item: -item[1][0]):
        if seconds * 1e6 / calls >= 0.1:
            print(f"| {name} | {seconds * 1e6 / calls:.1f} | {waits / calls:.3f} | {taken / calls:.3f} |")
    by_part: Counter[str] = Counter()
    for line in samples.splitlines():
        stack, _, count = line.rpartition(" ")
        by_part[part_of(stack)] += int(count)
    replicas = sum(numbers[0] for name, numbers in spent.items() if REPLICA in name) * 1e6 / calls
    print("\n| in the replica | share | us a call |\n| --- | --: | --: |")
    for part, sampled in by_part.most_common():
        share = sampled / by_part.total()
        print(f"| {part} | {share:.1%} | {share * replicas:.1f} |")


if __name__ == "__main__":
    main()
