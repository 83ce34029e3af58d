"""`buddies load`: how the service does under load."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from spotify_buddies.clients.command.endpoints import Endpoints, running
from spotify_buddies.clients.load import report, sample, targets
from spotify_buddies.clients.load.baseline import bare_server
from spotify_buddies.clients.load.client_processes import Crew, LoadError, OnSecond, crew
from spotify_buddies.clients.load.mix import CallKind, MixError, parse_mix
from spotify_buddies.clients.load.plan import Plan
from spotify_buddies.clients.load.rounds import Comparison, Result, Server, compare, describe, measure
from spotify_buddies.clients.load.sample import Sample, SampleError
from spotify_buddies.clients.load.usage import environment
from spotify_buddies.clients.python import BuddiesError, Client, Retry
from spotify_buddies.foundation.terminal.visible import say

SAMPLE = 20_000
INTERRUPTED = 130


class Scenario(StrEnum):
    """A set of measurements."""

    TARGETS = "targets"


def load(
    context: typer.Context,
    address: Annotated[str | None, typer.Option(help="host:port; default: the one this state directory runs.")] = None,
    duration: Annotated[float, typer.Option(help="Seconds measured, of each round.")] = 10.0,
    warmup: Annotated[float, typer.Option(help="Seconds of load before.")] = 2.0,
    rate: Annotated[
        float | None, typer.Option(help="Calls a second, whatever the server does (open loop); default: closed loop.")
    ] = None,
    callers: Annotated[
        int | None, typer.Option(help="Calls in flight: all the time (closed, default 32), or at most (open, 512).")
    ] = None,
    connections: Annotated[int, typer.Option(help="TCP connections that the callers share.")] = 1,
    processes: Annotated[int, typer.Option(help="Client processes that the callers are dealt over.")] = 1,
    users_per_call: Annotated[int, typer.Option(help="Listeners in a Recommend, 1 to 1,000.")] = 1,
    limit: Annotated[int, typer.Option(help="Playlists per listener, 1 to 100.")] = 5,
    explain: Annotated[bool, typer.Option(help="Ask for reasons.")] = True,
    mix: Annotated[
        str, typer.Option(help="Weights of known, taste, unknown and feedback: known=80,taste=20.")
    ] = "known",
    reactions: Annotated[int, typer.Option(help="Likes in a Feedback, 1 to 100.")] = 1,
    ids: Annotated[
        Path | None, typer.Option(help="Known listeners, an id a line; default: of the served bundle.")
    ] = None,
    songs: Annotated[Path | None, typer.Option(help="Songs for tastes, one 'Title - Artist' a line.")] = None,
    timeout: Annotated[float, typer.Option(help="Deadline of a call, seconds.")] = 5.0,
    check_every: Annotated[int, typer.Option(help="Decode and check one answer in so many.")] = 20,
    rounds: Annotated[int | None, typer.Option(help="Times it is measured; default: 1, with a baseline 3.")] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Measure a bare grpc.aio server with the same handlers in turn.")
    ] = False,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle of the baseline and the listeners; default: the served one.")
    ] = None,
    scenario: Annotated[
        Scenario | None, typer.Option(help="Measure a set of work; targets: what serving is judged by.")
    ] = None,
    soak: Annotated[bool, typer.Option("--soak", help="Then run at 60 % of the capacity found.")] = False,
    soak_seconds: Annotated[float, typer.Option(help="Length of the soak.")] = 600.0,
    max_error_rate: Annotated[float | None, typer.Option(help="Exit with 1 above this share of failed calls.")] = None,
    max_p99_ms: Annotated[float | None, typer.Option(help="Exit with 1 when p99 is above.")] = None,
    min_calls_per_s: Annotated[
        float | None, typer.Option(help="Exit with 1 when fewer calls a second are answered.")
    ] = None,
    require_targets: Annotated[
        bool, typer.Option("--require-targets", help="Exit with 1 when a target is not reached.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Draws other requests.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts, with every second.")] = False,
) -> None:
    """Call the service as many callers do, and say how many calls it answers, how fast, and what it uses for it.

    With --rate, calls have their times in a fixed schedule and latency counts from those, also when the server or the
    client was late. Ctrl-C prints what was measured until then.

    Examples: buddies load --callers 32 --baseline  |  buddies load --rate 500 --mix known=80,taste=10,feedback=10  |
    buddies load --scenario targets --baseline --json
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = context.obj
    try:
        plan = Plan(
            address="", mix=parse_mix(mix), rate=rate, callers=callers or (32 if rate is None else 512),
            connections=connections, processes=processes, duration_s=duration, warmup_s=warmup,
            users_per_call=users_per_call, limit=limit, explain=explain, reactions=reactions, timeout_s=timeout,
            check_every=check_every, seed=seed,
        )  # fmt: skip
    except MixError as error:
        raise typer.BadParameter(str(error), param_hint="--mix") from None
    _check(plan, callers, rounds, soak_seconds)
    endpoints = running(settings.state_dir)
    chosen = address or settings.client.address or (endpoints.grpc if endpoints else "127.0.0.1:9000")
    try:
        body, interrupted = _run(
            plan.at(chosen), endpoints, ids, songs, bundle,
            rounds=rounds or (3 if baseline else 1), baseline=baseline, scenario=scenario,
            soak_s=soak_seconds if soak else None,
        )  # fmt: skip
    except (LoadError, SampleError, BuddiesError) as error:
        say(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        say("interrupted before anything was measured", err=True)
        raise typer.Exit(INTERRUPTED) from None
    say(json.dumps(body, indent=1) if as_json else "\n".join(_lines(body)))
    if interrupted:
        say("interrupted: these are the figures until then", err=True)
        raise typer.Exit(INTERRUPTED)
    broken = _broken(body, max_error_rate, max_p99_ms, min_calls_per_s, require_targets=require_targets)
    for line in broken:
        say(f"threshold not kept: {line}", err=True)
    if broken:
        raise typer.Exit(1)


def _check(plan: Plan, callers: int | None, rounds: int | None, soak_s: float) -> None:
    """Wrong usage ends here with the option's name."""
    for option, value, least, most in (
        ("--users-per-call", plan.users_per_call, 1, 1_000),
        ("--limit", plan.limit, 1, 100),
        ("--reactions", plan.reactions, 1, 100),
        ("--callers", 1 if callers is None else callers, 1, 100_000),
        ("--connections", plan.connections, 1, 10_000),
        ("--processes", plan.processes, 1, 256),
        ("--check-every", plan.check_every, 1, 10**9),
        ("--rounds", 1 if rounds is None else rounds, 1, 1_000),
        ("--duration", plan.duration_s, 0.1, 10**6),
        ("--warmup", plan.warmup_s, 0, 10**6),
        ("--timeout", plan.timeout_s, 0.001, 3_600),
        ("--rate", 1.0 if plan.rate is None else plan.rate, 0.01, 10**6),
        ("--soak-seconds", soak_s, 1, 10**6),
    ):
        if not least <= value <= most:
            raise typer.BadParameter(f"{value:g} is not in {least:g} to {most:g}", param_hint=option)
    if plan.processes > plan.callers:
        raise typer.BadParameter(f"{plan.processes} processes for {plan.callers} callers", param_hint="--processes")
    if plan.connections > plan.callers:
        raise typer.BadParameter(f"{plan.connections} for {plan.callers} callers", param_hint="--connections")


def _run(
    plan: Plan,
    endpoints: Endpoints | None,
    ids: Path | None,
    songs: Path | None,
    bundle: Path | None,
    *,
    rounds: int,
    baseline: bool,
    scenario: Scenario | None,
    soak_s: float | None,
) -> tuple[dict[str, Any], bool]:
    """Measure; the body of the report, and whether it was interrupted."""
    local = endpoints is not None and plan.address == endpoints.grpc
    body: dict[str, Any] = {"environment": environment(), "target": _ask_status(plan.address), "plan": plan.to_json()}
    wanted = plan if scenario is None else replace(plan, mix=dict.fromkeys(CallKind, 1.0))
    found = _find_sample(wanted, ids, songs, bundle)
    with ExitStack() as stack:
        servers = [Server("service", plan.address, (endpoints.pid,) if local and endpoints else ())]
        if baseline:
            bare = stack.enter_context(bare_server(bundle or (Path(endpoints.bundle) if local and endpoints else None)))
            servers.append(Server("baseline", bare.address, (bare.pid,)))
        workers = stack.enter_context(crew(plan.processes, found))
        bench = _Bench(workers, servers, rounds)
        if scenario is None:
            results = bench.measure(plan)
            body |= _described(results)
            capacity = results[0].calls_per_s
        else:
            capacity = _measure_targets(bench, plan, body)
        if soak_s is not None and not bench.interrupted:
            _soak(bench, targets.soak_plan(plan, capacity, soak_s), body)
        body["environment"]["load_average_after"] = environment()["load_average"]
        return body, bench.interrupted


class _Bench:
    """Measures one plan after the other with the same clients and servers, until it is interrupted."""

    def __init__(self, workers: Crew, servers: Sequence[Server], rounds: int) -> None:
        self._workers, self._servers, self._rounds = workers, servers, rounds
        self.interrupted = False

    def measure(self, plan: Plan, name: str = "") -> list[Result]:
        """Every server in every round."""
        results, self.interrupted = measure(
            self._workers, plan, self._servers, self._rounds, _titled(report.ticker(plan), name)
        )
        return results

    def measure_service(self, plan: Plan, name: str) -> Result:
        """The service alone, once."""
        results, self.interrupted = measure(
            self._workers, plan, self._servers[:1], 1, _titled(report.ticker(plan), name)
        )
        return results[0]


def _titled(ticker: Callable[[str], OnSecond], name: str) -> Callable[[str], OnSecond]:
    return lambda title: ticker(f"{name}: {title}" if name else title)


def _described(results: Sequence[Result]) -> dict[str, Any]:
    described: dict[str, Any] = {"service": describe(results[0])}
    if len(results) > 1:
        described |= {"baseline": describe(results[1]), "ratio_to_baseline": compare(*results).to_json()}
    return described


def _measure_targets(bench: _Bench, plan: Plan, body: dict[str, Any]) -> float:
    """Every case; returns the calls a second of the first one."""
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


def _soak(bench: _Bench, plan: Plan, body: dict[str, Any]) -> None:
    result = bench.measure_service(plan, "soak")
    body["soak"] = {"plan": plan.to_json(), **_described([result])}
    body["targets"] = [*body.get("targets", []), *(row.to_json() for row in targets.soak_rows(result))]


def _find_sample(plan: Plan, ids: Path | None, songs: Path | None, bundle: Path | None) -> Sample:
    """What the mix needs, from the files given, else from the bundle."""
    given = sample.read(ids, songs, random.Random(plan.seed))  # noqa: S311 - a draw, no secret
    needs_ids = ids is None and bool({CallKind.KNOWN, CallKind.FEEDBACK} & set(plan.mix))
    needs_songs = songs is None and CallKind.TASTE in plan.mix
    if not needs_ids and not needs_songs:
        return given
    asked = sample.ask(SAMPLE, bundle)
    return Sample(asked.user_ids if ids is None else given.user_ids, asked.tastes if songs is None else given.tastes)


def _ask_status(address: str) -> dict[str, Any]:
    """What is served there. LoadError: nothing answers."""
    try:
        with Client(address, timeout_s=5.0, retry=Retry(attempts=1)) as client:
            status = client.model_status()
    except BuddiesError as error:
        raise LoadError(
            f"{address} does not answer as the service: {error}; start it with `buddies serve start`, or name another "
            "with --address"
        ) from error
    versions = [
        {"version": one.version, "arm": one.arm.value, "users": one.users, "playlists": one.playlists,
         "bundle_sha256": one.bundle_sha256}
        for one in status.versions
    ]  # fmt: skip
    return {"address": address, "model": status.model, "versions": versions}


def _lines(body: dict[str, Any]) -> Iterator[str]:
    if "service" in body:
        yield from report.lines(body)
    for case in body.get("cases", []):
        yield from ("", f"== {case['name']}", *report.lines(case))
    if "soak" in body:
        yield from ("", "== soak", *report.lines(body["soak"]))
    if body.get("targets"):
        yield from ("", "== targets", *report.target_lines(body["targets"]))


def _broken(
    body: dict[str, Any],
    max_error_rate: float | None,
    max_p99_ms: float | None,
    min_calls_per_s: float | None,
    *,
    require_targets: bool,
) -> list[str]:
    """The thresholds that were not kept, of the service in every part of the run."""
    broken = []
    parts = [
        ("", body),
        *((f"{case['name']}: ", case) for case in body.get("cases", [])),
        ("soak: ", body.get("soak", {})),
    ]
    for name, part in parts:
        service = part.get("service")
        if service is None:
            continue
        p99 = service["latency_ms"]["p99"]
        if max_error_rate is not None and service["error_rate"] > max_error_rate:
            broken.append(f"{name}{service['error_rate']:.2%} of the calls failed, at most {max_error_rate:.2%}")
        if max_p99_ms is not None and (p99 is None or p99 > max_p99_ms):
            broken.append(f"{name}p99 {'unknown' if p99 is None else f'{p99:.2f} ms'}, at most {max_p99_ms:g} ms")
        if min_calls_per_s is not None and service["calls_per_s"] < min_calls_per_s:
            broken.append(f"{name}{service['calls_per_s']:,.1f} calls/s, at least {min_calls_per_s:g}")
    if require_targets:
        rows = [row for row in body.get("targets", []) if row["met"] is not True]
        broken += [f"{row['work']}: {row['figure']} {row['reached']}, target {row['target']}" for row in rows]
    return broken
