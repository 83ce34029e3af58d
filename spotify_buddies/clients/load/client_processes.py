"""The client processes: started once, given one measurement after the other."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from spotify_buddies.clients.command.invoke import stop
from spotify_buddies.clients.load.access import Access
from spotify_buddies.clients.load.plan import LoadPlan
from spotify_buddies.clients.load.sample import Sample
from spotify_buddies.clients.load.worker.record import Record

# From the last process that is ready to the first call: messages reach every process before.
LEAD_S = 0.2
# Connecting, encoding requests and fetching recommendations for feedback.
READY_WITHIN_S = 120.0
STOP_WITHIN_S = 10.0
# How soon an interrupt is seen.
LOOK_S = 0.2

OnSecond = Callable[[str, int, int], None]


class LoadError(Exception):
    """The measurement cannot be made; the message says what to do."""


@dataclass(frozen=True)
class ClientUsage:
    """Usage of one client process during the measurement."""

    pid: int
    cpu_s: float
    rss_mib: float


@dataclass(frozen=True)
class Measured:
    """One measurement: what was counted, and what the clients used. interrupted: it was ended before its time."""

    record: Record
    clients: tuple[ClientUsage, ...]
    interrupted: bool = False


@dataclass
class _Process:
    popen: subprocess.Popen[str]
    lines: queue.Queue[tuple[int, dict[str, Any] | None]]
    number: int
    counts: tuple[int, int] = field(default=(0, 0))

    def tell(self, body: dict[str, Any]) -> None:
        """Send one message. LoadError: the process is gone."""
        if self.popen.stdin is None:
            raise ValueError("started without a pipe")
        try:
            self.popen.stdin.write(json.dumps(body) + "\n")
            self.popen.stdin.flush()
        except BrokenPipeError:
            raise LoadError(f"a client process ended with code {self.popen.wait()}; its messages are above") from None

    def read_lines(self) -> None:
        """Put what the process reports into the queue; None at its end."""
        if self.popen.stdout is not None:
            with self.popen.stdout:
                for line in self.popen.stdout:
                    self.lines.put((self.number, json.loads(line)))
        self.lines.put((self.number, None))


class ClientProcesses:
    """Client processes with one sample."""

    def __init__(self, processes: list[_Process], lines: queue.Queue[tuple[int, dict[str, Any] | None]]) -> None:
        self._processes = processes
        self._lines = lines
        self._rounds = 0

    def measure(self, plan: LoadPlan, on_second: OnSecond, around: Around) -> Measured:
        """Run a plan in as many processes as it names.

        on_second: gets "warm-up" or "measuring", calls and errors, every second. around: notified when the measured
        part begins and ends. LoadError: a process cannot go on. Ctrl-C ends the measurement, not the method: what was
        counted until then is returned. Before the first call it is passed on.
        """
        self._rounds += 1
        working = self._processes[: plan.processes]
        for process in working:
            process.counts = (0, 0)
            process.tell({"plan": plan.to_json(), "process": process.number, "round": self._rounds})
        self._wait_ready(working)
        start = time.monotonic() + LEAD_S
        for process in working:
            process.tell({"start": start})
        with _interrupts() as interrupted:
            results = self._collect(working, plan, start, on_second, around, interrupted)
        around.ended()
        record = Record()
        for result in results.values():
            record.beside(Record.from_json(result["record"]))
        used = [
            ClientUsage(process.popen.pid, results[process.number]["cpu_s"], results[process.number]["rss_mib"])
            for process in working
        ]
        return Measured(record, tuple(used), interrupted.is_set())

    def _wait_ready(self, working: list[_Process]) -> None:
        """Until each has said that it is ready, or why not: one that is ready then begins nothing. LoadError."""
        deadline = time.monotonic() + READY_WITHIN_S
        waiting, failed = {process.number: process for process in working}, ""
        ready: list[_Process] = []
        while waiting:
            try:
                number, message = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise LoadError(f"the client processes were not ready within {READY_WITHIN_S:.0f} s") from None
            if message is None:
                raise LoadError("a client process ended; its messages are above")
            process = waiting.pop(number)
            if "failed" in message:
                failed = failed or str(message["failed"])
            else:
                ready.append(process)
        if failed:
            # Each waits for its next plan again: another server may be measured.
            for process in ready:
                process.tell({"start": None})
            raise LoadError(failed)

    def _collect(
        self,
        working: list[_Process],
        plan: LoadPlan,
        start: float,
        on_second: OnSecond,
        around: Around,
        interrupted: threading.Event,
    ) -> dict[int, dict[str, Any]]:
        """Every process's result. LoadError: one could not go on; all have ended then, and wait for their next plan."""
        results: dict[int, dict[str, Any]] = {}
        first, told, failed = start + plan.warmup_s, False, ""
        while len(results) < len(working):
            now = time.monotonic()
            if now >= first:
                around.began()
            if now >= first + plan.duration_s:
                around.ended()
            if interrupted.is_set() and not told:
                told = True
                for process in working:
                    process.popen.terminate()
            moments = [moment - now for moment in (first, first + plan.duration_s) if moment > now]
            try:
                number, message = self._lines.get(timeout=min([*moments, LOOK_S]))
            except queue.Empty:
                continue
            if message is None:
                raise LoadError("a client process ended during the measurement; its messages are above")
            failed = failed or str(message.get("failed", ""))
            if "record" in message or "failed" in message:
                results[number] = message
                continue
            self._processes[number].counts = (message["calls"], message["errors"])
            calls, errors = (sum(counts) for counts in zip(*(p.counts for p in working), strict=True))
            on_second("warm-up" if now < first else "measuring", calls, errors)
        if failed:
            raise LoadError(failed)
        return results


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Note the first Ctrl-C or SIGTERM instead of raising; the next one raises. They land in the main thread only."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note(number: int, frame: object) -> None:
        del number, frame
        if came.is_set():
            raise KeyboardInterrupt
        came.set()

    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Around:
    """Called when the measured part begins and when it ends, each once."""

    def __init__(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._begin: Callable[[], None] | None = begin
        self._end: Callable[[], None] | None = end

    def began(self) -> None:
        """The measured part begins now."""
        if self._begin is not None:
            begin, self._begin = self._begin, None
            begin()

    def ended(self) -> None:
        """It ends now; where it never began, it begins too."""
        self.began()
        if self._end is not None:
            end, self._end = self._end, None
            end()


@contextmanager
def processes(count: int, sample: Sample, access: Access | None = None) -> Iterator[ClientProcesses]:
    """Start client processes and stop them with the block. access: for servers that are called with TLS."""
    lines: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
    started: list[_Process] = []
    readers: list[threading.Thread] = []
    try:
        for number in range(count):
            # A session of its own: Ctrl-C in the terminal reaches a client through us.
            popen = subprocess.Popen(
                [sys.executable, "-m", "spotify_buddies.clients.load.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
            process = _Process(popen, lines, number)
            started.append(process)
            readers.append(threading.Thread(target=process.read_lines, daemon=True))
            readers[-1].start()
        for process in started:
            process.tell({"sample": sample.to_json(), "access": access and access.to_json()})
        yield ClientProcesses(started, lines)
    finally:
        for process in started:
            _stop(process.popen)
        for reader in readers:
            reader.join()


def _stop(popen: subprocess.Popen[str]) -> None:
    """End of input first, which a client that is not measuring obeys at once."""
    if popen.stdin is not None:
        with suppress(BrokenPipeError):
            popen.stdin.close()
    stop(popen, STOP_WITHIN_S)
