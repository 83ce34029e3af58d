"""Processes that measure trees of the source beside each other, and their figures. Nothing here is a test.

A benchmark starts itself once for each tree, with that tree on the import path. Each process answers a line of JSON on
standard input with a line of JSON on standard output, as often as it is asked.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
import psycopg

HERE = Path(__file__).resolve().parents[2]
Figures = dict[str, float]
Work = TypeVar("Work")


@contextmanager
def measuring(script: Path, tree: Path, argument: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `script --worker argument` with the packages of a tree; it ends with its standard input."""
    command = [sys.executable, str(script.resolve()), "--worker", argument]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        process.stdin.close()  # type: ignore[union-attr]


def ask(process: subprocess.Popen[str], question: Mapping[str, object] | None = None) -> str:
    """The line that the process says next, after the question if there is one. SystemExit: it has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    if question is not None:
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a process that measured has ended; see what it said above")
    return line


def show(rounds_of: Mapping[tuple[Work, Path], Sequence[Figures]], units: Mapping[str, str]) -> None:
    """Print the medians of the rounds, by work and tree. units: headers of the figures."""
    print(f"{'':>22}" + "".join(f"{unit:>18}" for unit in units.values()) + "  tree")
    for (work, tree), rounds in rounds_of.items():
        medians = [statistics.median(figures[name] for figures in rounds) for name in units]
        print(f"{work!s:>22}" + "".join(f"{figure:>18,.2f}" for figure in medians) + f"  {tree}", flush=True)


class Meter:
    """What has passed since it was made: time, processor time of this process and of Postgres, and a counter of it.

    counter: a query of one number.
    """

    def __init__(self, connection: psycopg.Connection, counter: str) -> None:
        postmaster = psutil.Process(connection.info.backend_pid).parent()
        assert postmaster is not None
        self._postmaster, self._connection, self._counter = postmaster, connection, counter
        self._started = self._read()

    def figures(self, taken: Sequence[float]) -> Figures:
        """Of calls that took so many seconds each, at least one. counted: the counter's difference."""
        spent, process, postgres, counted = (now - then for now, then in zip(self._read(), self._started, strict=True))
        count, ranked = len(taken), sorted(taken)
        return {
            "per_s": count / spent,
            "p50_ms": ranked[count // 2] * 1e3,
            "p99_ms": ranked[count * 99 // 100] * 1e3,
            "process_ms": process * 1e3 / count,
            "postgres_ms": postgres * 1e3 / count,
            "counted": counted,
        }

    def _read(self) -> tuple[float, float, float, float]:
        ((counter,),) = self._connection.execute(self._counter.encode()).fetchall()
        return time.perf_counter(), time.process_time(), cpu_s(self._postmaster), float(counter)


def cpu_s(postmaster: psutil.Process) -> float:
    """Processor seconds of a Postgres server and its processes, those that have ended among them."""
    own = postmaster.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for process in postmaster.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return float(total)
