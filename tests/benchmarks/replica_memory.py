"""What a replica holds beside the bundle that all replicas share, and what of it comes from where.

    python -m tests.benchmarks.replica_memory BUNDLE                     step by step, in a process like a replica's
    python -m tests.benchmarks.replica_memory BUNDLE --service STATE     the replicas of a running service

own: pages that no other process has (USS), without the bundle's. libraries: other mapped files, which replicas share.
RSS is the sum of both and of the bundle's pages. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from spotify_buddies.foundation.terminal.tables import table

_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)$")
MIB = 1024


@dataclass(frozen=True)
class Memory:
    """In MiB. own: private; libraries, bundle: resident pages of mapped files."""

    own: float
    libraries: float
    bundle: float

    @classmethod
    def of(cls, pid: int | str, bundle: Path) -> Memory:
        """Of a process, from /proc/PID/smaps."""
        kib, name = Counter[str](), ""
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            if (mapping := _MAPPING.match(line)) is not None:
                name = mapping[1]
                continue
            field, _, value = line.partition(":")
            ours = name.startswith(f"{bundle}/")
            if field in ("Private_Clean", "Private_Dirty") and not ours:
                kib["own"] += int(value.split()[0])
            elif field == "Rss" and name.startswith("/"):
                kib["bundle" if ours else "libraries"] += int(value.split()[0])
        return cls(kib["own"] / MIB, kib["libraries"] / MIB, kib["bundle"] / MIB)

    def cells(self, before: Memory | None = None) -> tuple[str, ...]:
        """For a table; with `before` what came since in front."""
        parts = ((self.own, before and before.own), (self.libraries, before and before.libraries))
        shown = [f"{now:.0f}" if then is None else f"+{now - then:.0f} = {now:.0f}" for now, then in parts]
        return (*shown, f"{self.bundle:.0f}")


def steps(directory: Path) -> None:
    """Print the memory of this process as it comes to what a replica is."""
    rows: list[tuple[str, ...]] = []
    last = Memory.of("self", directory)

    def note(what: str) -> None:
        nonlocal last
        gc.collect()
        now = Memory.of("self", directory)
        rows.append((what, *now.cells(last)))
        last = now

    import ray

    note("Ray")
    from spotify_buddies.serve_app.runtime.loopback import bind_workers

    bind_workers()
    import ray.serve._private.replica  # noqa: F401

    note("Ray Serve, FastAPI, OpenTelemetry")
    import numba  # noqa: F401

    note("numba, LLVM")
    import redis.asyncio  # noqa: F401

    import spotify_buddies.serve_app.runtime.deployments  # noqa: F401

    note("the service, psycopg, redis")
    from spotify_buddies.serve_app.ranking.engine import Engine
    from spotify_buddies.serve_app.telemetry.metrics import Silent
    from spotify_buddies.serve_app.versions.answers import Answers, Budgets
    from spotify_buddies.trainer.bundle import open_bundle

    engine = Engine(open_bundle(directory, check_hashes=False), "1")
    note("the bundle, opened")
    answers = Answers(engine, budgets=Budgets(0.1, 0.1), daily=None, history=None, telemetry=Silent())
    note("the encoder, and numba's first kernel")
    answers.warm_up()
    note("every kernel")
    head = ("step", "own MiB", "libraries MiB", "bundle MiB")
    print(table(head, rows, right=(1, 2, 3)))


def main() -> None:
    """Print one of both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--service", type=Path, help="the state directory of a running service")
    parser.add_argument("--steps", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    bundle = options.bundle.resolve()
    if options.steps:
        steps(bundle)
    elif options.service is None:
        # A process of its own: this one has imported the client.
        subprocess.run([sys.executable, "-m", "tests.benchmarks.replica_memory", str(bundle), "--steps"], check=True)
    else:
        from spotify_buddies.clients.drills.framework.service import attached

        with attached(options.service) as service:
            served = Path(os.path.realpath(service.endpoints.bundle))
            rows = [(str(one.pid), *Memory.of(one.pid, served).cells()) for one in service.find("replica")]
        print(table(("replica", "own MiB", "libraries MiB", "bundle MiB"), rows, right=(1, 2, 3)))


if __name__ == "__main__":
    main()
