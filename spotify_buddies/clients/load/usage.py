"""Processor time and memory of a tree of processes, and of everything else on the machine."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("spotify-buddies", "grpcio", "protobuf", "ray", "numpy", "numba")


@dataclass(frozen=True)
class ProcessUsage:
    """One process during a measurement. cpu_s: processor seconds. rss: resident memory, shared pages included, MiB."""

    name: str
    pid: int
    cpu_s: float
    rss_before_mib: float
    rss_after_mib: float


@dataclass(frozen=True)
class Usage:
    """A tree of processes, the busiest first. seconds: between the two looks; machine_cpu_s: of everything that ran."""

    processes: tuple[ProcessUsage, ...]
    seconds: float
    machine_cpu_s: float

    @property
    def cpu_s(self) -> float:
        """Processor seconds of the tree."""
        return sum(process.cpu_s for process in self.processes)

    @property
    def rss_before_mib(self) -> float:
        """Resident memory at the first look, MiB; pages that processes share count for each."""
        return sum(process.rss_before_mib for process in self.processes)

    @property
    def rss_after_mib(self) -> float:
        """The same at the last look."""
        return sum(process.rss_after_mib for process in self.processes)

    def to_json(self) -> dict[str, Any]:
        """For scripts; processes that did nothing are left out."""
        busy = [process for process in self.processes if process.cpu_s >= 0.005 or process.rss_after_mib >= 1]
        return {
            "cpu_s": round(self.cpu_s, 3),
            "cores": round(self.cpu_s / self.seconds, 3) if self.seconds else None,
            "rss_mib": round(self.rss_after_mib, 1),
            "rss_growth": growth(self.rss_before_mib, self.rss_after_mib),
            "processes": [_rounded(asdict(process)) for process in busy],
        }


class Watch:
    """Looks at the trees below some processes twice, and at the machine."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._first: dict[psutil.Process, tuple[str, float, int]] = {}
        self._last: dict[psutil.Process, tuple[str, float, int]] = {}
        self._times = [0.0, 0.0]
        self._machine = [0.0, 0.0]

    def began(self) -> None:
        """The first look."""
        self._first, self._times[0], self._machine[0] = _look(self._pids), time.monotonic(), _machine_cpu_s()

    def ended(self) -> None:
        """The last look."""
        self._last, self._times[1], self._machine[1] = _look(self._pids), time.monotonic(), _machine_cpu_s()

    def usage(self) -> Usage:
        """Usage between the two looks; a process that came later counts from its start, one that ended is left out."""
        used = []
        for process, (name, cpu_s, rss) in self._last.items():
            _, cpu_before_s, rss_before = self._first.get(process, (name, 0.0, 0))
            used.append(ProcessUsage(name, process.pid, cpu_s - cpu_before_s, rss_before / 2**20, rss / 2**20))
        used.sort(key=lambda process: -process.cpu_s)
        return Usage(tuple(used), self._times[1] - self._times[0], self._machine[1] - self._machine[0])


def add(usages: Sequence[Usage]) -> Usage:
    """Later looks at the same trees: times add up, memory is that of the first and of the last look."""
    first: dict[int, ProcessUsage] = {}
    last: dict[int, ProcessUsage] = {}
    cpu_s: dict[int, float] = {}
    for usage in usages:
        for process in usage.processes:
            first.setdefault(process.pid, process)
            last[process.pid] = process
            cpu_s[process.pid] = cpu_s.get(process.pid, 0.0) + process.cpu_s
    merged = [
        ProcessUsage(process.name, pid, cpu_s[pid], first[pid].rss_before_mib, process.rss_after_mib)
        for pid, process in last.items()
    ]
    merged.sort(key=lambda process: -process.cpu_s)
    return Usage(tuple(merged), sum(u.seconds for u in usages), sum(u.machine_cpu_s for u in usages))


def growth(before: float, after: float) -> float | None:
    """(after - before) / before; None where there was nothing."""
    return round((after - before) / before, 4) if before else None


def environment() -> dict[str, Any]:
    """The machine and the versions that the figures belong to."""
    return {
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: number for name in _PACKAGES if (number := _version(name))},
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def _look(pids: Sequence[int]) -> dict[psutil.Process, tuple[str, float, int]]:
    seen = {}
    for process in _trees(pids):
        try:
            with process.oneshot():
                times = process.cpu_times()
                seen[process] = (_name(process), times.user + times.system, process.memory_info().rss)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended since it was listed, or is another user's
    return seen


def _trees(pids: Sequence[int]) -> set[psutil.Process]:
    processes: set[psutil.Process] = set()
    for pid in pids:
        try:
            root = psutil.Process(pid)
            processes |= {root, *root.children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    return processes


def _name(process: psutil.Process) -> str:
    """A name that tells a process apart: Ray's title of it, python's module, else the program."""
    command = process.cmdline()
    if not command:
        return str(process.name())
    if command[0].startswith("ray::"):
        return command[0]
    program = Path(command[0].split(" ")[0]).name
    if program.startswith("python") and len(command) > 1:
        rest = command[2:] if command[1] == "-m" else [Path(command[1]).name, *command[2:]]
        words = [word for word in rest if not word.startswith("-")]
        return " ".join(["python", *words[:3]])[:60]
    return program


def _machine_cpu_s() -> float:
    times = psutil.cpu_times()
    return (
        float(sum(times))
        - float(times.idle)
        - float(getattr(times, "iowait", 0.0))
        - float(getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0))
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
