"""The process that floods: run as a module, it reads a job as JSON and prints how much it sent.

It has the lowest priority: it stands for a caller on another machine, and takes no processor from the service.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from spotify_buddies.clients.drills.flood.floods import FLOODS, Pace
from spotify_buddies.clients.drills.flood.wire import Door

LOWEST = 19


@contextmanager
def flooding(name: str, door: Door, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Flood a door until time is over, from a process of its own, which is gone after the block."""
    with tempfile.TemporaryFile("w+") as job:
        # The headers can hold a token, and everybody can read a command line.
        json.dump({"name": name, "door": asdict(door), "seconds": seconds}, job)
        job.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "spotify_buddies.clients.drills.flood.caller"],
            stdin=job,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def sent_by(process: subprocess.Popen[str], within_s: float) -> int:
    """The amount that it sent, once its time is over. subprocess.TimeoutExpired, ValueError: it did not end well."""
    said, _ = process.communicate(timeout=within_s)
    return int(json.loads(said)["sent"])


async def _flood(name: str, door: Door, seconds: float) -> int:
    flood = FLOODS[name]
    return await flood.run(door, Pace(flood.rate, seconds))


def main() -> None:
    """Do the job on standard input."""
    job = json.loads(sys.stdin.read())
    os.nice(LOWEST)
    # A thousand connections and more; the usual soft limit is 1,024 files.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    door = job["door"]
    door["headers"] = tuple((str(name), str(value)) for name, value in door["headers"])
    sent = asyncio.run(_flood(job["name"], Door(**door), job["seconds"]))
    sys.stdout.write(json.dumps({"sent": sent}))


if __name__ == "__main__":
    main()
