"""The end of a running service: no accepted call is lost, no process is left, and its logs stay."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from spotify_buddies.foundation.process.children import children, is_alive, left_of, name_of
from spotify_buddies.foundation.process.local_ray import quiet, stop_ray
from spotify_buddies.foundation.process.private import make_private, repair
from spotify_buddies.foundation.process.run_dir import RunDir
from spotify_buddies.serve_app.settings.serve import ServeSettings

# The program that Ray starts in front of the replicas.
PROXY = "haproxy"
# Without one of these Ray's own calls wait for minutes, or end this process from C.
VITAL = frozenset({"gcs_server", "raylet"})


def stop_serving(
    others: set[psutil.Process], vital: list[psutil.Process], first: Callable[[set[psutil.Process]], None] | None = None
) -> None:
    """Stop Serve and Ray, and wait for the end of every process that came with them.

    others: processes that are not theirs. vital: Ray's processes that must live for it to be asked; without them its
    processes are just ended. first: called with Ray's processes while all of them still run.
    """
    import ray
    from ray import serve

    def shutdown(started: set[psutil.Process]) -> None:
        if not (vital and all(is_alive(process) for process in vital) and ray.is_initialized()):
            return
        if first is not None:
            first(started)
        serve.shutdown()
        # Started since, and out of sight once their parents are gone.
        started |= children() - others
        ray.shutdown()

    with quiet():
        stop_ray(others, shutdown)


def drain(settings: ServeSettings, note: Path, started: set[psutil.Process]) -> None:
    """Say NOT_SERVING, go on answering for the notice, then take no more calls and finish those in flight.

    Ray kills HAProxy at once when it shuts down, and with it every call that is being answered. So HAProxy is asked
    first (SIGUSR1, its soft stop): it stops listening, tells clients to open no more calls on their connections, and
    ends with the last answer. At most a call's longest time is waited for. note: see `health`. started: Ray's
    processes, HAProxy among them.
    """
    proxies: Sequence[psutil.Process] = [process for process in started if name_of(process) == PROXY]
    note.touch()
    time.sleep(settings.stop_notice_s)
    for process in proxies:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGUSR1)
    left_of(proxies, settings.request_timeout_s)


def once(action: Callable[[], None]) -> Callable[[], None]:
    """The action, which the second call and all later ones leave out."""
    done = threading.Event()

    def run() -> None:
        if not done.is_set():
            done.set()
            action()

    return run


def keep_logs(run: RunDir, logs: Path) -> None:
    """Move Ray's logs of this run to the state directory, in the place of the run before, closed to other users."""
    written = run.public / "session_latest" / "logs"
    if written.exists():
        shutil.rmtree(logs, ignore_errors=True)
        shutil.copytree(written.resolve(), logs, symlinks=True, ignore_dangling_symlinks=True)
        make_private(logs)
        repair([logs])
