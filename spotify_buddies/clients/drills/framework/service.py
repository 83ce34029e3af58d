"""The service that a drill breaks: started for it, or the running one of the state directory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from spotify_buddies.clients.command.endpoints import Endpoints, running
from spotify_buddies.clients.command.invoke import command, stop

START_WITHIN_S = 300.0
STOP_WITHIN_S = 120.0

# Part of the name or command line of a part's processes.
PARTS: Mapping[str, str] = {
    "replica": "ServeReplica:buddies:Recommender",
    "controller": "ServeController",
    "index": "ServeReplica:buddies:NeighbourIndex",
    "haproxy": "haproxy",
    "valkey": "valkey",
    "postgres": "postgres",  # its first process alone; connections come and go
    "postgres and its children": "postgres",
    "mlflow": "mlflow",
}


class DrillError(Exception):
    """A drill cannot be run; the message says what to do."""


class CannotRun(Exception):
    """This machine lacks what the drill needs; the message says what."""


@dataclass(frozen=True)
class Launch:
    """The start of a service. prefix: a command that runs it, as `unshare --mount`."""

    prefix: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def _unchanged(state_dir: Path) -> Iterator[Launch]:
    del state_dir
    yield Launch()


@dataclass(frozen=True)
class Setting:
    """The service that a drill needs. prepared: holds what the service stands on; CannotRun: not on this machine.

    attachable: any running service does.
    """

    prepared: Callable[[Path], AbstractContextManager[Launch]] = _unchanged
    attachable: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str], *, attachable: bool = False) -> Setting:
        """A service with settings of its own."""

        @contextmanager
        def prepared(state_dir: Path) -> Iterator[Launch]:
            del state_dir
            yield Launch(environment=environment)

        return cls(prepared, attachable)


ORDINARY = Setting(attachable=True)


@dataclass(frozen=True)
class ServiceUnderTest:
    """A running service. state_dir: with its data set and the files of its embedded stores."""

    endpoints: Endpoints
    state_dir: Path

    def find(self, part: str) -> list[psutil.Process]:
        """The living processes of one of PARTS, oldest first; empty when there are none."""
        wanted = PARTS[part]
        alive = []
        for process in psutil.Process(self.endpoints.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                words = [process.name(), *process.cmdline()]
                if process.status() != psutil.STATUS_ZOMBIE and _is_part(part, wanted, words):
                    alive.append(process)
        return sorted(alive, key=_age)


def _is_part(part: str, wanted: str, words: Sequence[str]) -> bool:
    if part in ("haproxy", "postgres", "postgres and its children", "valkey"):
        return any(Path(word).name.startswith(wanted) for word in words[:2]) and (part != "postgres" or "-D" in words)
    return any(wanted in word for word in words)


def _age(process: psutil.Process) -> float:
    try:
        return float(process.create_time())
    except psutil.NoSuchProcess:
        return float("inf")


@contextmanager
def serving(
    state_dir: Path, *, prefix: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[ServiceUnderTest]:
    """Run `buddies serve start` until the block ends. prefix, environment: as in Launch.

    DrillError when it does not start; the message holds what it printed.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    if (other := running(state_dir)) is not None:
        raise DrillError(f"a service runs in {state_dir} already (process {other.pid}); stop it, or use --attach")
    with tempfile.NamedTemporaryFile(prefix="buddies-drill-", suffix=".log") as log:
        # A session of its own: Ctrl-C reaches it through us.
        process = subprocess.Popen(
            [*prefix, *command("serve", "start", "--any-port")],
            stdout=log, stderr=log, env={**os.environ, **(environment or {})}, start_new_session=True,
        )  # fmt: skip
        try:
            yield ServiceUnderTest(_wait(process, state_dir, Path(log.name)), state_dir)
        finally:
            stop(process, STOP_WITHIN_S)


@contextmanager
def attached(state_dir: Path) -> Iterator[ServiceUnderTest]:
    """The service that runs already. DrillError when none does."""
    endpoints = running(state_dir)
    if endpoints is None:
        raise DrillError(f"no service runs in {state_dir}; start one, or leave --attach out")
    yield ServiceUnderTest(endpoints, state_dir)


def _wait(process: subprocess.Popen[bytes], state_dir: Path, log: Path) -> Endpoints:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        if (endpoints := running(state_dir)) is not None:
            return endpoints
        if process.poll() is not None:
            raise DrillError(f"`buddies serve start` ended with {process.returncode}: {log.read_text()[-2_000:]}")
        time.sleep(0.1)
    raise DrillError(f"`buddies serve start` is not up after {START_WITHIN_S:.0f} s: {log.read_text()[-2_000:]}")
