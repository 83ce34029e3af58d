"""One plan measured in rounds, against the service and a baseline in turn, and the results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from spotify_buddies.clients.load.client_processes import Around, ClientProcesses, ClientUsage, Measured, OnSecond
from spotify_buddies.clients.load.plan import LoadPlan, Protocol
from spotify_buddies.clients.load.usage import Usage, Watch, add
from spotify_buddies.clients.load.worker.record import CallTally, Record

# A client process above this share of a core is at its limit: the server could do more.
CLIENT_LIMIT = 0.85


@dataclass(frozen=True)
class Server:
    """A server that is measured. pids: its processes' roots on this machine, none where it is elsewhere.

    tls: it is called with the client processes' Access.
    """

    name: str
    address: str
    pids: tuple[int, ...] = ()
    protocol: Protocol = Protocol.GRPC
    tls: bool = False

    def plan(self, work: LoadPlan) -> LoadPlan:
        """The work as this server is asked for it."""
        return work.at(self.address, self.protocol, tls=self.tls)


@dataclass(frozen=True)
class Round:
    """One measurement of one server."""

    measured: Measured
    usage: Usage


@dataclass
class Result:
    """All rounds of one server, in their order."""

    server: Server
    plan: LoadPlan
    rounds: list[Round] = field(default_factory=list)

    @property
    def record(self) -> Record:
        """All rounds in one."""
        merged = Record()
        for one in self.rounds:
            merged.after(one.measured.record)
        return merged

    @property
    def usage(self) -> Usage:
        """Of the server's processes, all rounds together."""
        return add([one.usage for one in self.rounds])

    @property
    def calls_per_s(self) -> float:
        """Median of the rounds."""
        return _median([one.measured.record.calls_per_s for one in self.rounds])

    @property
    def users_per_s(self) -> float:
        """Median of the rounds."""
        return _median([one.measured.record.users_per_s for one in self.rounds])

    def latency_ms(self, percent: float) -> float | None:
        """Median over the rounds of a percentile of answered calls; None where a round has none."""
        per_round = [one.measured.record.whole().latency.percentile(percent) for one in self.rounds]
        known = [value for value in per_round if value is not None]
        return _median([value / 1000 for value in known]) if known and len(known) == len(per_round) else None

    @property
    def cpu_ms_per_call(self) -> float | None:
        """Processor time of the server for each answer: what a busy machine changes least. None where unknown."""
        answered = self.record.answered
        return 1000 * self.usage.cpu_s / answered if self.server.pids and answered else None

    @property
    def client_load(self) -> float:
        """Cores that the busiest client process used, mean of its rounds."""
        per_process = zip(*(one.measured.clients for one in self.rounds), strict=True)
        span_s = self.record.span_s
        return max((sum(c.cpu_s for c in uses) / span_s for uses in per_process), default=0.0) if span_s else 0.0

    @property
    def clients(self) -> tuple[ClientUsage, ...]:
        """Usage of the client processes, all rounds together."""
        rows = zip(*(one.measured.clients for one in self.rounds), strict=True)
        return tuple(
            ClientUsage(uses[-1].pid, sum(use.cpu_s for use in uses), max(use.rss_mib for use in uses)) for uses in rows
        )

    @property
    def error_rate(self) -> float:
        """Failed calls of all calls; 0 of none."""
        record = self.record
        failed = record.errors.total()
        calls = failed + record.whole().latency.count
        return failed / calls if calls else 0.0


@dataclass(frozen=True)
class Comparison:
    """Both in the same rounds: medians over the rounds of service / baseline; None where a round measured nothing.

    cpu_per_call: processor time of all processes of each, over all rounds.
    """

    calls_per_s: float | None
    p50: float | None
    p99: float | None
    cpu_per_call: float | None

    def to_json(self) -> dict[str, float | None]:
        """Rounded for people and scripts."""
        return {name: None if value is None else round(value, 3) for name, value in vars(self).items()}


def measure(
    processes: ClientProcesses,
    plan: LoadPlan,
    servers: Sequence[Server],
    rounds: int,
    on_second: Callable[[str], OnSecond],
) -> tuple[list[Result], bool]:
    """Measure every server in turn, `rounds` times over; so a machine that slows down slows all of them.

    Results in the order of the servers, and whether it was interrupted; then later rounds are missing.
    on_second: takes a round's title and returns what is called once a second.
    """
    results = [Result(server, server.plan(plan)) for server in servers]
    for number in range(rounds):
        for result in results:
            title = result.server.name + (f", round {number + 1} of {rounds}" if rounds > 1 else "")
            if measure_once(processes, result, on_second(title)).interrupted:
                return [result for result in results if result.rounds], True
    return results, False


def measure_once(processes: ClientProcesses, result: Result, on_second: OnSecond) -> Measured:
    """One more round of a result. LoadError: it could not be measured, and there is no such round."""
    watch = Watch(result.server.pids)
    measured = processes.measure(result.plan, on_second, Around(watch.began, watch.ended))
    result.rounds.append(Round(measured, watch.usage()))
    return measured


def compare(service: Result, baseline: Result) -> Comparison:
    """Service over baseline, round by round."""
    pairs = list(zip(service.rounds, baseline.rounds, strict=False))

    def ratio(read: Callable[[Round], float | None]) -> float | None:
        values = [(read(ours), read(theirs)) for ours, theirs in pairs]
        ratios = [ours / theirs for ours, theirs in values if ours is not None and theirs]
        return _median(ratios) if ratios and len(ratios) == len(pairs) else None

    return Comparison(
        ratio(lambda one: one.measured.record.calls_per_s),
        ratio(lambda one: one.measured.record.whole().latency.percentile(50)),
        ratio(lambda one: one.measured.record.whole().latency.percentile(99)),
        ours / theirs if (ours := service.cpu_ms_per_call) and (theirs := baseline.cpu_ms_per_call) else None,
    )


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def describe(result: Result) -> dict[str, Any]:
    """One server's result for scripts: rates are medians of the rounds, percentiles of all rounds' calls together."""
    record, usage = result.record, result.usage
    whole = record.whole()
    failed = record.errors.total()
    return {
        "server": {"name": result.server.name, "address": result.server.address},
        "measured_s": round(record.span_s, 3),
        "calls": whole.latency.count + failed,
        "failed": failed,
        "error_rate": round(result.error_rate, 6),
        "calls_per_s": round(result.calls_per_s, 2),
        "users_per_s": round(result.users_per_s, 2),
        "latency_ms": whole.latency.summary_ms(),
        "service_ms": whole.service.summary_ms(),
        "failed_ms": whole.failed.summary_ms(),
        "send_delay_ms": record.delay.summary_ms(),
        "kinds": {kind.value: _kind(tally) for kind, tally in record.tallies.items()},
        "errors": [
            {
                "kind": kind,
                "code": code,
                "reason": reason,
                "calls": calls,
                "message": record.messages[kind, code, reason],
            }
            for (kind, code, reason), calls in record.errors.most_common()
        ],
        "answers": {"checked": record.checked, "sources": dict(record.sources)},
        "cpu_ms_per_call": None if result.cpu_ms_per_call is None else round(result.cpu_ms_per_call, 4),
        "server_usage": usage.to_json() if result.server.pids else None,
        "client_usage": _client_usage(result),
        "other_cpu_s": round(_others(result, usage), 3) if result.server.pids else None,
        "rounds": [_round(one.measured.record) for one in result.rounds],
        "seconds": [
            {"second": number, "calls": one.latency.count, "failed": one.failed, **one.latency.summary_ms()}
            for number, one in sorted(record.seconds.items())
        ],
    }


def _kind(tally: CallTally) -> dict[str, Any]:
    return {
        "calls": tally.latency.count,
        "failed": tally.failed.count,
        "users": tally.users,
        "latency_ms": tally.latency.summary_ms(),
    }


def _round(record: Record) -> dict[str, Any]:
    return {
        "calls_per_s": round(record.calls_per_s, 2),
        "users_per_s": round(record.users_per_s, 2),
        "latency_ms": record.whole().latency.summary_ms(),
    }


def _client_usage(result: Result) -> dict[str, Any]:
    return {
        "busiest_cores": round(result.client_load, 3),
        "at_its_limit": result.client_load > CLIENT_LIMIT,
        "processes": [
            {"pid": one.pid, "cpu_s": round(one.cpu_s, 3), "rss_mib": round(one.rss_mib, 1)} for one in result.clients
        ],
    }


def _others(result: Result, usage: Usage) -> float:
    """Processor seconds of everything on the machine that is neither the server nor a client."""
    return max(0.0, usage.machine_cpu_s - usage.cpu_s - sum(one.cpu_s for one in result.clients))
