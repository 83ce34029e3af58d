"""Faults of processes and versions. Each begins when its block is entered, and is undone when the block ends."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import psutil

from spotify_buddies.clients.command.endpoints import CONFIGURED
from spotify_buddies.clients.command.invoke import answer, command, stop
from spotify_buddies.clients.drills.framework.bundle_files import SMALL, file_of, without
from spotify_buddies.clients.drills.framework.service import STOP_WITHIN_S, DrillError, ServiceUnderTest

# Whether what was broken is well again.
Healed = Callable[[], bool]
Fault = Callable[[ServiceUnderTest], AbstractContextManager[Healed]]


def killed(part: str) -> Fault:
    """Kill -9 of the oldest process of a part; healed when there are as many others as before."""

    @contextmanager
    def fault(service: ServiceUnderTest) -> Iterator[Healed]:
        before = service.find(part)
        if not before:
            raise DrillError(f"no {part} runs in this service; the drill needs one of its own")
        before[0].kill()
        # By process, not by number: right after the signal the killed one may still be listed.
        yield lambda: len([other for other in service.find(part) if other != before[0]]) >= len(before)

    return fault


def stopped(part: str, seconds: float) -> Fault:
    """Freeze every process of a part for a time: it holds its connections and says nothing."""

    @contextmanager
    def fault(service: ServiceUnderTest) -> Iterator[Healed]:
        frozen = service.find(part)
        if not frozen:
            raise DrillError(f"no {part} runs in this service; the drill needs one of its own")
        until = time.monotonic() + seconds
        thawed = False
        try:
            # SIGSTOP keeps the connections open: callers see silence, and no error to react to.
            for process in frozen:
                process.suspend()

            def healed() -> bool:
                nonlocal thawed
                if not thawed and time.monotonic() >= until:
                    _resume(frozen)
                    thawed = True
                return thawed

            yield healed
        # Whatever happens: a frozen process obeys no SIGTERM, and the service could not stop.
        finally:
            _resume(frozen)

    return fault


def _resume(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


@contextmanager
def released(service: ServiceUnderTest) -> Iterator[Healed]:
    """A code release; healed when every ranker and index is another process. DrillError when it fails."""
    before = [*service.find("replica"), *service.find("index")]
    with _ending(0, "", "serve", "release") as ended:
        yield lambda: ended() and not any(old.is_running() for old in before)


@contextmanager
def half_written(service: ServiceUnderTest) -> Iterator[Healed]:
    """A version without a file of its bundle shall take half of the users; healed when the rollout gave up.

    DrillError: it was not.
    """
    if not service.endpoints.mlflow or service.endpoints.mlflow == CONFIGURED:
        raise DrillError("it breaks a bundle in the embedded MLflow's store; this service has none")
    made = answer("registry", "derive", service.endpoints.model_version, "--kind", "same", "--seed", "14")
    start = ("rollout", "start", str(made["version"]), "--percent", "50", "--manual", "--force", "--wait")
    with without(file_of(service.state_dir, made, SMALL)), _ending(1, SMALL, *start) as ended:
        yield ended


@contextmanager
def _ending(code: int, naming: str, *arguments: str) -> Iterator[Healed]:
    """Run a command; whether it has ended. DrillError: with another code, or without that name in its output."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command(*arguments), stdout=said, stderr=said, start_new_session=True)

        def ended() -> bool:
            if process.poll() is None:
                return False
            said.seek(0)
            text = said.read().decode(errors="replace")
            if process.returncode != code or naming not in text:
                raise DrillError(f"`buddies {' '.join(arguments)}` ended with {process.returncode}: {text[-2_000:]}")
            return True

        try:
            yield ended
        finally:
            stop(process, STOP_WITHIN_S)
