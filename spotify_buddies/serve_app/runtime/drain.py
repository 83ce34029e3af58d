"""Ending a running service without losing a call that it accepted."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from spotify_buddies.serve_app.settings.serve import ServeSettings

# The program that Ray starts in front of the replicas.
PROXY = "haproxy"


def drain(settings: ServeSettings, note: Path, proxies: Sequence[psutil.Process]) -> None:
    """Say NOT_SERVING, go on answering for the notice, then take no more calls and finish those in flight.

    Ray kills HAProxy at once when it shuts down, and with it every call that is being answered. So HAProxy is asked
    first (SIGUSR1, its soft stop): it stops listening, tells clients to open no more calls on their connections, and
    ends with the last answer. At most a call's longest time is waited for. note: see `health`.
    """
    note.touch()
    time.sleep(settings.stop_notice_s)
    for process in proxies:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGUSR1)
    psutil.wait_procs(proxies, timeout=settings.request_timeout_s)
