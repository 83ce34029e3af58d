"""The cost of a piece of work: seconds, processor seconds and peak memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path


def watch() -> Callable[[], dict[str, float]]:
    """A function that returns the cost since now.

    seconds; cpu_seconds of this process, all threads, which other work on the machine hardly changes; peak_rss_mib, the
    most memory that was in use, or, where the system cannot reset that count, process_peak_rss_mib since the
    process began. Both count pages of mapped files that are in memory.
    """
    started, worked, memory = time.monotonic(), time.process_time(), _watch_memory()
    return lambda: {
        "seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(time.process_time() - worked, 3),
        **memory(),
    }


def peak_rss_mib() -> float:
    """The most memory that this process had in use, in MiB; since the last `watch` where the system can tell."""
    try:
        return _status_mib("VmHWM")
    except (OSError, KeyError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def private_mib() -> float:
    """Memory in use now that no other process could share, because no file is behind it, in MiB. OSError: not Linux."""
    return _status_mib("RssAnon")


def _watch_memory() -> Callable[[], dict[str, float]]:
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: reset the high-water mark
    except OSError:
        return lambda: {"process_peak_rss_mib": round(peak_rss_mib(), 1)}
    return lambda: {"peak_rss_mib": round(peak_rss_mib(), 1)}


def _status_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    sizes = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return int(sizes[field].split()[0]) / 1024
