"""The drill: each flood through each way, beside the steady calls of another caller."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from spotify_buddies.clients.drills.flood.caller import flooding, sent_by
from spotify_buddies.clients.drills.flood.doors import Way, edge, front
from spotify_buddies.clients.drills.flood.floods import FLOODS
from spotify_buddies.clients.drills.framework.account import Window, errors_of, milliseconds
from spotify_buddies.clients.drills.framework.drill import Stage
from spotify_buddies.clients.drills.framework.result import DrillResult
from spotify_buddies.clients.drills.framework.service import CannotRun, ServiceUnderTest
from spotify_buddies.clients.drills.framework.traffic import Call, Traffic
from spotify_buddies.clients.python import Client
from spotify_buddies.foundation.process.ports import free_port
from spotify_buddies.foundation.terminal.tables import table

NAME = "flood"
RATE = 100.0
CALM_S, FLOOD_S, SETTLE_S = 12.0, 12.0, 3.0
# How long the flooding process may take past its time.
PATIENCE_S = 60.0
MOST_SLOWER = 2.0
# A p99 below this troubles nobody, whatever it was before.
NOTICED_S = 0.01
# Allocators keep some of the most that was needed at once.
MEMORY_MIB = 128.0


@dataclass(frozen=True)
class Wave:
    """One flood. sent: its calls or frames. calls, failed, p50_s, p99_s: of the caller beside it. calm_p99_s: before.

    mib: by how much the service's processes had grown right after it, in all.
    """

    way: str
    flood: str
    sent: int
    calls: int
    failed: int
    errors: dict[str, int]
    p50_s: float | None
    p99_s: float | None
    calm_p99_s: float | None
    mib: float

    @property
    def slower(self) -> float | None:
        """The p99 as a multiple of the one before."""
        return self.p99_s / self.calm_p99_s if self.p99_s and self.calm_p99_s else None

    def problems(self) -> Iterator[str]:
        """A sentence for each limit that is broken."""
        where = f"{self.flood} at the {self.way}"
        if self.sent == 0:
            yield f"{where}: nothing could be sent"
        if self.calls == 0 or self.calm_p99_s is None:
            yield f"{where}: nobody called beside it, or before"
        if self.failed:
            yield f"{where}: {self.failed:,} of {self.calls:,} calls of another caller failed ({self.errors})"
        if self.slower is not None and self.slower > MOST_SLOWER and (self.p99_s or 0.0) > NOTICED_S:
            yield f"{where}: another caller's p99 is {self.slower:.1f} times as long ({milliseconds(self.p99_s)})"


def play(stage: Stage) -> DrillResult:
    """The drill. DrillError: the edge does not start. BuddiesError: the flooding caller is not let in."""
    service, rate = stage.service, stage.options.rate or RATE
    with ExitStack() as stack:
        ways, left_out = [front(stage.address)], ""
        try:
            ways.append(stack.enter_context(edge(stage.address, free_port())))
        except CannotRun as reason:
            left_out = str(reason)
        for way in ways:
            with Client(way.address, credentials=way.flooder) as client:
                client.model_status()  # the flooding caller is let in
        before, mib = _processes(service), _mib(service)
        waves, calls = _waves(stage, ways, rate)
        problems = [problem for wave in waves for problem in wave.problems()]
        kept = _mib(service) - mib
    if kept > MEMORY_MIB:
        problems.append(f"the service keeps {kept:.0f} MiB")
    if replaced := before - _processes(service):
        problems.append(f"{len(replaced)} of the service's processes were replaced")
    figures = {"rate": rate, "waves": [_plain(w) for w in waves], "kept_mib": round(kept, 1), "left_out": left_out}
    notes = (f"kept afterwards: {kept:+.1f} MiB", *((f"left out: {left_out}",) if left_out else ()))
    return DrillResult(
        NAME,
        requests=len(calls),
        failed=sum(bool(call.error) for call in calls),
        errors=errors_of(calls),
        figures=figures,
        lines=(_table(waves), *notes),
        problems=tuple(problems),
    )


def _waves(stage: Stage, ways: Sequence[Way], rate: float) -> tuple[list[Wave], list[Call]]:
    """Every flood through every way, and the calls beside them."""
    waves: list[Wave] = []
    calls: list[Call] = []
    for way in ways:
        # One traffic for all floods of a way: connections are open before, as those of a real caller are.
        with Traffic(way.address, stage.users, rate, credentials=way.credentials).running() as traffic:
            for name in FLOODS:
                waves.append(_wave(name, way, stage.service, traffic))
                sent, p99 = waves[-1].sent, milliseconds(waves[-1].p99_s)
                stage.say(f"flood: {name} at the {way.name}: {sent:,} sent, p99 {p99}")
        calls += traffic.calls
    return waves, calls


def _wave(name: str, way: Way, service: ServiceUnderTest, traffic: Traffic) -> Wave:
    """Calm, the flood, and its aftermath."""
    began = time.time()
    time.sleep(CALM_S)
    calm = Window.of(traffic.between(began, time.time()))
    before = _mib(service)
    # A process of its own: in this one the flood would delay the calls that are timed.
    with flooding(name, way.door, FLOOD_S) as process:
        first = time.time()
        sent = sent_by(process, FLOOD_S + PATIENCE_S)
        last = time.time()
    time.sleep(SETTLE_S)
    beside = traffic.between(first, last)
    window = Window.of(beside)
    return Wave(
        way.name, name, sent, window.calls, window.failed, errors_of(beside), window.p50_s, window.p99_s, calm.p99_s,
        round(_mib(service) - before, 1),
    )  # fmt: skip


def _processes(service: ServiceUnderTest) -> set[int]:
    return {process.pid for part in ("replica", "index") for process in service.find(part)} | _proxies(service)


def _proxies(service: ServiceUnderTest) -> set[int]:
    """HAProxy's, of which there is one more for a while after each change of replicas."""
    return {process.pid for process in service.find("haproxy")[:1]}


def _mib(service: ServiceUnderTest) -> float:
    """PSS of the replicas and of HAProxy."""
    return sum(_pss(process) for part in ("replica", "haproxy") for process in service.find(part)) / 2**20


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0


def _plain(wave: Wave) -> dict[str, Any]:
    return {**asdict(wave), "slower": wave.slower}


def _table(waves: Sequence[Wave]) -> str:
    headers = ("way, flood", "sent", "calls beside", "failed", "p50", "p99", "p99 before", "times", "kept")
    rows = [
        (
            f"{wave.way}, {wave.flood}", f"{wave.sent:,}", f"{wave.calls:,}", f"{wave.failed:,}",
            milliseconds(wave.p50_s), milliseconds(wave.p99_s), milliseconds(wave.calm_p99_s),
            "-" if wave.slower is None else f"{wave.slower:.2f}", f"{wave.mib:+.1f} MiB",
        )
        for wave in waves
    ]  # fmt: skip
    return table(headers, rows, right=range(1, 9))
