"""Faults of the machine below the service, its clock and its disk, and the services that are started for them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil

from spotify_buddies.clients.drills.framework.service import CannotRun, Launch, ServiceUnderTest
from spotify_buddies.clients.drills.processes.faults import Healed

SMALL_DISK = "256m"
FULL_FOR_S = 5.0
JUMPED_FOR_S = 5.0
CLOCK = "FAKETIME_TIMESTAMP_FILE"


@contextmanager
def small_disk(state_dir: Path) -> Iterator[Launch]:
    """Postgres' directory on a file system of 256 MiB that only the service sees; the real directory is untouched.

    CannotRun where this user may not mount.
    """
    unshare = shutil.which("unshare")
    command = [unshare or "", "--mount", "--", "sh", "-c"]
    mount = f'mount -t tmpfs -o size={SMALL_DISK},mode=755 tmpfs "$0"'
    with tempfile.TemporaryDirectory() as probe:
        # Tried on a directory of no importance: whether a user may mount depends on kernel and container.
        if unshare is None or subprocess.run([*command, mount, probe], capture_output=True, check=False).returncode:
            raise CannotRun("it mounts a small file system, which takes root and `unshare` of util-linux")
    data = state_dir.absolute() / "postgres"
    data.mkdir(parents=True, exist_ok=True)
    yield Launch(prefix=[*command, f'{mount} && exec "$@"', str(data)])


@contextmanager
def full_disk(service: ServiceUnderTest) -> Iterator[Healed]:
    """Fill Postgres' file system, and make room again a few seconds later."""
    # The file system is mounted in the service's namespace alone; this is its root as seen from here.
    root = Path(f"/proc/{service.endpoints.pid}/root")
    (server,) = service.find("postgres")[:1]
    filler = root / str(Path(server.cmdline()[server.cmdline().index("-D") + 1]).relative_to("/")) / "filler"
    _fill(filler)
    until = time.monotonic() + FULL_FOR_S
    freed = False

    def healed() -> bool:
        nonlocal freed
        if not freed and time.monotonic() >= until:
            filler.unlink()
            freed = True
        return freed

    try:
        yield healed
    finally:
        filler.unlink(missing_ok=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 2**12):
            block = bytes(size)
            try:
                while file.write(block):
                    pass
            except OSError:
                continue  # full, up to pieces of this size


@contextmanager
def faked_clock(state_dir: Path) -> Iterator[Launch]:
    """The wall clock of the service follows a file (libfaketime). CannotRun where that is not installed."""
    del state_dir
    package = find_spec("libfaketime")
    folders = package.submodule_search_locations if package else None
    libraries = list(Path(folders[0]).rglob("libfaketime.so.1")) if folders else []
    if not libraries:
        raise CannotRun("it needs libfaketime: pip install libfaketime")
    with tempfile.TemporaryDirectory(prefix="buddies-clock-") as directory:
        file = Path(directory) / "offset"
        file.write_text("+0\n")
        # Every user reads it: Postgres runs as one of its own.
        Path(directory).chmod(0o755)
        file.chmod(0o644)
        yield Launch(
            environment={
                "LD_PRELOAD": str(libraries[0]),
                CLOCK: str(file),
                # Timeouts go by the monotonic clock, which a real clock change leaves alone.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_RESET": "1",
            }
        )


@contextmanager
def jumping_clock(service: ServiceUnderTest) -> Iterator[Healed]:
    """The wall clock jumps an hour ahead, then two hours back, then is right again."""
    file = Path(psutil.Process(service.endpoints.pid).environ()[CLOCK])
    began = time.monotonic()
    steps = ("+3600\n", "-3600\n", "+0\n")

    def set_clock(step: int) -> None:
        # Replaced in one step: a process that reads in between would see an empty file, no offset.
        partial = file.with_suffix(".partial")
        partial.write_text(steps[step])
        partial.chmod(0o644)
        partial.replace(file)

    set_clock(0)
    done = 0

    def healed() -> bool:
        nonlocal done
        wanted = min(int((time.monotonic() - began) / JUMPED_FOR_S), len(steps) - 1)
        if wanted > done:
            done = wanted
            set_clock(done)
        return done == len(steps) - 1

    try:
        yield healed
    finally:
        set_clock(len(steps) - 1)
