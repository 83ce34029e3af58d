"""What the tests ask about processes that may end while they are being asked."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import psutil

from spotify_buddies.foundation.process.children import is_alive
from tests.waiting import EVERY_S, WITHIN_S


def sockets(process: psutil.Process) -> list[tuple[str, Any]]:
    """The process's name with each of its internet sockets; empty where it has ended since it was listed."""
    try:
        name = process.name()
        return [(name, connection) for connection in process.net_connections("inet")]
    except psutil.NoSuchProcess:
        return []


def left_of(processes: Iterable[psutil.Process], within_s: float = WITHIN_S) -> list[psutil.Process]:
    """Those that have not ended within the limit.

    Not by psutil.wait_procs: on new kernels it raises FileNotFoundError for a process that ends while it is looked at.
    """
    deadline = time.monotonic() + within_s
    left = list(processes)
    while (left := [process for process in left if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(EVERY_S)
    return left
