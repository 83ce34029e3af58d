"""`buddies load --peers`: every peer and the service in turn, round by round, for each kind of work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from spotify_buddies.clients.load.client_processes import ClientProcesses, LoadError, OnSecond
from spotify_buddies.clients.load.peers.catalogue import PEERS, PeerName
from spotify_buddies.clients.load.plan import LoadPlan
from spotify_buddies.clients.load.rounds import Result, Server, compare, describe, measure_once

SERVICE, EDGE = "service", "edge"
EDGE_TITLE = "service through the edge"


class Peers:
    """The servers that came up, the service first, and why others did not."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.problems: dict[str, str] = {}

    def start(self, names: Sequence[PeerName], bundle: Path | None, stack: ExitStack) -> None:
        """Start peers, which `stack` stops; one that does not come up is a problem of its own."""
        for name in names:
            try:
                if bundle is None:
                    raise LoadError("the bundle that is served is not on this machine; name it with --bundle")
                self.servers[name] = stack.enter_context(PEERS[name].started(bundle))
            except LoadError as error:
                self.problems[name] = str(error)


def works(plan: LoadPlan) -> list[tuple[str, LoadPlan]]:
    """The plan as it is, and with one caller, each with its name."""
    plans = [plan] if plan.callers == 1 else [plan, replace(plan, callers=1, connections=1, processes=1)]
    users = f"{plan.users_per_call:,} user{'s' if plan.users_per_call > 1 else ''} a call"
    return [(f"{users}, {one.callers:,} caller{'s' if one.callers > 1 else ''}", one) for one in plans]


def measure_peers(
    clients: ClientProcesses,
    plan: LoadPlan,
    peers: Peers,
    rounds: int,
    ticker: Callable[[LoadPlan], Callable[[str], OnSecond]],
) -> tuple[list[dict[str, Any]], bool]:
    """Every work, as --json prints it, and whether it was interrupted; then later rounds are missing.

    LoadError: the service cannot be measured. A peer that fails is left out from then on, with its reason.
    """
    cases: list[dict[str, Any]] = []
    for name, work in works(plan):
        results, interrupted = _measure_work(clients, work, peers, rounds, _titled(ticker(work), name))
        if SERVICE in results:
            cases.append(_described(name, work, results))
        if interrupted:
            return cases, True
    return cases, False


def _measure_work(
    clients: ClientProcesses, work: LoadPlan, peers: Peers, rounds: int, on_second: Callable[[str], OnSecond]
) -> tuple[dict[str, Result], bool]:
    results = {name: Result(server, server.plan(work)) for name, server in peers.servers.items()}
    for number in range(rounds):
        for name in _turn(list(peers.servers), number):
            try:
                title = f"{results[name].server.name}, round {number + 1} of {rounds}"
                measured = measure_once(clients, results[name], on_second(title))
            except LoadError as error:
                if name == SERVICE:
                    raise
                peers.problems[name] = str(error)
                del peers.servers[name]
                continue
            if measured.interrupted:
                return {name: result for name, result in results.items() if result.rounds}, True
    return {name: result for name, result in results.items() if result.rounds}, False


def _turn(names: list[str], number: int) -> list[str]:
    """Another one begins each round, so that none always comes after the same one."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def _titled(on_second: Callable[[str], OnSecond], name: str) -> Callable[[str], OnSecond]:
    return lambda title: on_second(f"{name}: {title}")


def _described(name: str, work: LoadPlan, results: dict[str, Result]) -> dict[str, Any]:
    service = results[SERVICE]
    rows = [_row(key, result, service) for key, result in results.items()]
    return {"name": name, "plan": work.to_json(), "rows": rows, SERVICE: describe(service)}


def _row(key: str, result: Result, service: Result) -> dict[str, Any]:
    """One server's figures: medians of the rounds. service_over: medians of the ratios round by round."""
    cpu = result.cpu_ms_per_call
    return {
        "peer": key,
        "title": result.server.name,
        "protocol": result.server.protocol.value,
        "tls": result.server.tls,
        "calls_per_s": round(result.calls_per_s, 2),
        "p50_ms": result.latency_ms(50),
        "p99_ms": result.latency_ms(99),
        "failed": result.record.errors.total(),
        "errors": sorted({f"{code} {result.record.messages[kind, code, reason]}".strip()
                          for kind, code, reason in result.record.errors}),
        "checked": result.record.checked,
        "cpu_ms_per_call": None if cpu is None else round(cpu, 4),
        "client_cores": round(result.client_load, 3),
        "service_over": None if result is service else compare(service, result).to_json(),
        "rounds": [round(one.measured.record.calls_per_s, 2) for one in result.rounds],
    }  # fmt: skip
