"""The measurements of one run: a plan, the set of the targets, and a soak."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from spotify_buddies.clients.command.access import Target
from spotify_buddies.clients.load import report, sample, targets
from spotify_buddies.clients.load.access import Access
from spotify_buddies.clients.load.baseline import bare_server
from spotify_buddies.clients.load.client_processes import ClientProcesses, LoadError, OnSecond, processes
from spotify_buddies.clients.load.mix import CallKind
from spotify_buddies.clients.load.options import RunOptions, Scenario, ServiceOptions
from spotify_buddies.clients.load.peers.catalogue import PeerName
from spotify_buddies.clients.load.peers.edge import listeners
from spotify_buddies.clients.load.peers.run import EDGE, EDGE_TITLE, SERVICE, Peers, measure_peers
from spotify_buddies.clients.load.plan import LoadPlan
from spotify_buddies.clients.load.rounds import Comparison, Result, Server, compare, describe, measure
from spotify_buddies.clients.load.sample import Sample
from spotify_buddies.clients.load.usage import environment
from spotify_buddies.clients.python import BuddiesError, Client, Retry

SAMPLE = 20_000


class Bench:
    """Measures one plan after the other with the same clients and servers, until it is interrupted."""

    def __init__(self, workers: ClientProcesses, servers: Sequence[Server], rounds: int) -> None:
        self._workers, self._servers, self._rounds = workers, servers, rounds
        self.interrupted = False

    def measure(self, plan: LoadPlan, name: str = "") -> list[Result]:
        """Every server in every round."""
        results, self.interrupted = measure(
            self._workers, plan, self._servers, self._rounds, _titled(report.ticker(plan), name)
        )
        return results

    def measure_service(self, plan: LoadPlan, name: str) -> Result:
        """The service alone, once."""
        results, self.interrupted = measure(
            self._workers, plan, self._servers[:1], 1, _titled(report.ticker(plan), name)
        )
        return results[0]


def run(
    plan: LoadPlan, service: Target, users: ServiceOptions, options: RunOptions, access: Access | None = None
) -> tuple[dict[str, Any], bool]:
    """Measure; the body of the report, and whether it was interrupted.

    access: TLS and token, for the edge where one is named (the service behind it speaks plain gRPC), else for a
    service that is not this state directory's own.
    LoadError, SampleError, BuddiesError: nothing could be measured.
    """
    secured = access if service.endpoints is None and options.edge is None else None
    plan = plan.at(plan.address, tls=secured is not None)
    target = _ask_status(plan.address, secured)
    body: dict[str, Any] = {"environment": environment(), "target": target, "plan": plan.to_json()}
    wanted = plan if options.scenario is None else replace(plan, mix=dict.fromkeys(CallKind, 1.0))
    drawn = _find_sample(wanted, users)
    with ExitStack() as stack:
        if options.peers:
            return _run_peers(stack, plan, service, users, options, access, drawn, body)
        servers = _servers(stack, service, users.bundle, plan, baseline=options.baseline)
        bench = Bench(stack.enter_context(processes(plan.processes, drawn, access)), servers, options.times)
        measured = _measure_targets if options.scenario is Scenario.TARGETS else _measure_plan
        capacity = measured(bench, plan, body)
        if options.soak and not bench.interrupted:
            _measure_soak(bench, targets.soak_plan(plan, capacity, options.soak_seconds), body)
        body["environment"]["load_average_after"] = environment()["load_average"]
        return body, bench.interrupted


def _run_peers(
    stack: ExitStack,
    plan: LoadPlan,
    service: Target,
    users: ServiceOptions,
    options: RunOptions,
    access: Access | None,
    drawn: Sample,
    body: dict[str, Any],
) -> tuple[dict[str, Any], bool]:
    """The service, its edge and the peers, in turn."""
    peers = Peers()
    peers.servers[SERVICE] = _served(service, plan)
    if options.edge is not None:
        try:
            _ask_status(options.edge, access)
            pids = (*peers.servers[SERVICE].pids, *listeners(options.edge))
            peers.servers[EDGE] = Server(EDGE_TITLE, options.edge, pids, tls=True)
        except LoadError as error:
            peers.problems[EDGE] = str(error)
    peers.start(options.peer or list(PeerName), _bundle_of(service, users.bundle), stack)
    clients = stack.enter_context(processes(plan.processes, drawn, access))
    body["cases"], interrupted = measure_peers(clients, plan, peers, options.times, report.ticker)
    body["not_measured"] = peers.problems
    body["environment"]["load_average_after"] = environment()["load_average"]
    return body, interrupted


def _served(service: Target, plan: LoadPlan) -> Server:
    """The service; only processes of this machine can be watched."""
    own = service.endpoints
    return Server("service", service.address, (own.pid,) if own else (), tls=plan.tls)


def _bundle_of(service: Target, bundle: Path | None) -> Path | None:
    own = service.endpoints
    return bundle or (Path(own.bundle) if own and own.bundle else None)


def _servers(stack: ExitStack, service: Target, bundle: Path | None, plan: LoadPlan, *, baseline: bool) -> list[Server]:
    """The service, and the baseline beside it where asked for."""
    servers = [_served(service, plan)]
    if baseline:
        bare = stack.enter_context(bare_server(_bundle_of(service, bundle)))
        servers.append(Server("baseline", bare.address, (bare.pid,)))
    return servers


def _measure_plan(bench: Bench, plan: LoadPlan, body: dict[str, Any]) -> float:
    """The plan as it is; returns the calls a second of the service."""
    results = bench.measure(plan)
    body |= _described(results)
    return results[0].calls_per_s


def _measure_targets(bench: Bench, plan: LoadPlan, body: dict[str, Any]) -> float:
    """Every case of the targets; returns the calls a second of the first one."""
    capacity = 0.0
    body["targets"], body["cases"] = [], []
    for case in targets.cases():
        results = bench.measure(case.change(plan), case.name)
        capacity = capacity or results[0].calls_per_s
        comparison: Comparison | None = compare(*results) if len(results) > 1 else None
        body["cases"].append({"name": case.name, "plan": case.change(plan).to_json(), **_described(results)})
        if bench.interrupted:
            break
        body["targets"] += [row.to_json() for row in case.rows(results[0], comparison)]
    return capacity


def _measure_soak(bench: Bench, plan: LoadPlan, body: dict[str, Any]) -> None:
    result = bench.measure_service(plan, "soak")
    body["soak"] = {"plan": plan.to_json(), **_described([result])}
    body["targets"] = [*body.get("targets", []), *(row.to_json() for row in targets.soak_rows(result))]


def _titled(ticker: Callable[[str], OnSecond], name: str) -> Callable[[str], OnSecond]:
    return lambda title: ticker(f"{name}: {title}" if name else title)


def _described(results: Sequence[Result]) -> dict[str, Any]:
    described: dict[str, Any] = {"service": describe(results[0])}
    if len(results) > 1:
        described |= {"baseline": describe(results[1]), "ratio_to_baseline": compare(*results).to_json()}
    return described


def _find_sample(plan: LoadPlan, users: ServiceOptions) -> Sample:
    """The users and songs that the mix needs, from the files given, else from the bundle."""
    given = sample.read(users.ids, users.songs, random.Random(plan.seed))  # noqa: S311 - a draw, no secret
    needs_ids = users.ids is None and bool({CallKind.KNOWN, CallKind.FEEDBACK} & set(plan.mix))
    needs_songs = users.songs is None and CallKind.TASTE in plan.mix
    if not needs_ids and not needs_songs:
        return given
    asked = sample.ask(SAMPLE, users.bundle)
    return Sample(
        asked.user_ids if users.ids is None else given.user_ids, asked.tastes if users.songs is None else given.tastes
    )


def _ask_status(address: str, access: Access | None) -> dict[str, Any]:
    """The versions that are served there. LoadError: nothing answers."""
    tls = None if access is None else access.credentials()
    try:
        with Client(address, timeout_s=5.0, retry=Retry(attempts=1), credentials=tls) as client:
            status = client.model_status()
    except BuddiesError as error:
        raise LoadError(
            f"no service answers at {address}: {error}; start it with `buddies serve start`, or name another with "
            "--address"
        ) from error
    versions = [
        {"version": one.version, "arm": one.arm.value, "users": one.users, "playlists": one.playlists,
         "bundle_sha256": one.bundle_sha256}
        for one in status.versions
    ]  # fmt: skip
    return {"address": address, "model": status.model, "versions": versions}
