"""From the command to the first answer: how long `buddies serve start` takes, and which processes take the processors.

    python -m tests.benchmarks.start_to_answer BUNDLE --rounds 3
    python -m tests.benchmarks.start_to_answer BUNDLE --rounds 3 --again     # with the stores of an earlier start

Each round starts the service in a state directory of its own, asks for a user until there is an answer, and stops it.
Processor time says more than the clock on a machine that does other things as well. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from spotify_buddies.clients.command.endpoints import running
from spotify_buddies.clients.command.invoke import answer, command, stop
from spotify_buddies.clients.python import BuddiesError, Client
from spotify_buddies.foundation.terminal.tables import table

WITHIN_S, STOP_WITHIN_S, POLL_S = 300.0, 120.0, 0.02
# Of a command line, what names the process.
_NAMES = re.compile(r"(ray::[\w:]+|dashboard/\w+\.py|dashboard-\w+|gcs_server|raylet|monitor\.py|serve start)")


def processors(root: psutil.Process) -> dict[str, float]:
    """Seconds of processor time so far, by process, children that have ended included."""
    spent: Counter[str] = Counter()
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times, words = process.cpu_times(), " ".join(process.cmdline())
            name = found[1] if (found := _NAMES.search(words)) else process.name()
            spent[name] += times.user + times.system + times.children_user + times.children_system
    return spent


def start_once(bundle: Path, state_dir: Path, user_id: str) -> tuple[float, float, Mapping[str, float]]:
    """Seconds until the service said that it answers, and until it had answered; processor seconds by process."""
    with tempfile.TemporaryFile() as log:
        began = time.monotonic()
        process = subprocess.Popen(
            command("serve", "start", "--bundle", str(bundle), "--any-port"),
            stdout=log, stderr=log, env={**os.environ, "BUDDIES_STATE_DIR": str(state_dir)}, start_new_session=True,
        )  # fmt: skip
        try:
            while (endpoints := running(state_dir)) is None:
                if process.poll() is not None or time.monotonic() - began > WITHIN_S:
                    log.seek(0)
                    raise SystemExit(f"the service did not start: {log.read().decode()[-2_000:]}")
                time.sleep(POLL_S)
            said = time.monotonic() - began
            with Client(endpoints.grpc) as client:
                while process.poll() is None and time.monotonic() - began < WITHIN_S:
                    with suppress(BuddiesError):
                        client.recommend([user_id])
                        break
                    time.sleep(POLL_S)
                else:
                    raise SystemExit("the service started and does not answer")
            return said, time.monotonic() - began, processors(psutil.Process(process.pid))
        finally:
            stop(process, STOP_WITHIN_S)


def main() -> None:
    """Start the service a few times and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--again", action="store_true", help="all rounds in one state directory, after a first start")
    options = parser.parse_args()
    bundle = options.bundle.resolve()
    user_id = str(answer("serve", "sample", "--bundle", str(bundle), "--count", "1")["user_ids"][0])
    results = []
    with tempfile.TemporaryDirectory(prefix="buddies-start-") as scratch:
        if options.again:
            start_once(bundle, Path(scratch) / "0", user_id)
        for number in range(options.rounds):
            results.append(start_once(bundle, Path(scratch) / str(0 if options.again else number), user_id))
            print(f"{results[-1][1]:.1f} s, {sum(results[-1][2].values()):.1f} s of processor time", flush=True)
    names = {name for _, _, spent in results for name in spent}
    rows = [(name, statistics.median(spent.get(name, 0.0) for _, _, spent in results)) for name in names]
    rows.sort(key=lambda row: -row[1])
    print(table(("process", "processor s"), [(name, f"{s:.2f}") for name, s in rows if s >= 0.1], right=(1,)))
    said, answered = (statistics.median(result[k] for result in results) for k in (0, 1))
    total = statistics.median(sum(spent.values()) for _, _, spent in results)
    print(f"median: serving after {said:.1f} s, first answer after {answered:.1f} s, {total:.1f} s of processor time")


if __name__ == "__main__":
    main()
