"""Ending processes and their children."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import psutil

EVERY_S = 0.05


def children() -> set[psutil.Process]:
    """Every process below this one."""
    return set(psutil.Process().children(recursive=True))


def is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs; one that ended and was not collected by its parent does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def name_of(process: psutil.Process) -> str:
    """The name of its program; empty when it is gone."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def started_at(pid: int) -> float | None:
    """Seconds from the machine's boot to the start of a process, about; None: there is no such process.

    Since the boot, because the clock may be set while the process runs.
    """
    try:
        return psutil.Process(pid).create_time() - psutil.boot_time()
    except psutil.NoSuchProcess:
        return None


def still_runs(pid: int, started: float | None) -> bool:
    """Whether a noted process runs, and not another one to which the kernel gave its id again.

    started: its `started_at`; None: not noted, and the id alone decides.
    """
    now = started_at(pid)
    # The boot is known to the second.
    return now is not None and (started is None or abs(now - started) < 2.0)


def stop_tree(pid: int, within_s: float = 5.0) -> None:
    """End a process and all its children: first asked, then killed. One that is gone already is fine."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        stop_all([root, *root.children(recursive=True)], within_s)


def stop_all(processes: Iterable[psutil.Process], within_s: float = 5.0) -> None:
    """End these processes: first asked, then killed. psutil compares start times, so a reused id is left alone."""
    wanted = list(processes)
    for process in wanted:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    alive = left_of(wanted, within_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    left_of(alive, within_s)


def left_of(processes: Iterable[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Wait for processes to end; those that have not within the limit.

    Not by psutil.wait_procs: on new kernels it raises FileNotFoundError for a process that ends while it is looked at.
    """
    deadline = time.monotonic() + within_s
    left = list(processes)
    while (left := [process for process in left if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(EVERY_S)
    return left
