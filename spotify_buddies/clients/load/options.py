"""The options of `buddies load`, in groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from spotify_buddies.clients.load.mix import CallKind, MixError, parse_mix
from spotify_buddies.clients.load.peers.catalogue import PeerName
from spotify_buddies.clients.load.plan import LoadPlan
from spotify_buddies.clients.python.checks import check_address

# Callers of a closed loop, and most calls in flight of an open one.
CLOSED_CALLERS, OPEN_CALLERS = 32, 512
# With a baseline the machine's drift shows in a single round.
ROUNDS, ROUNDS_WITH_BASELINE = 1, 3


class Scenario(StrEnum):
    """A set of measurements."""

    TARGETS = "targets"


def _option(help_text: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=panel)


_SERVICE, _PACE, _CALLS, _RUN, _LIMITS = "Service and users", "Pace", "Calls", "Measurements", "Thresholds"


@dataclass(frozen=True)
class ServiceOptions:
    """Options of the service, and of the users that calls are for."""

    address: Annotated[str | None, _option("host:port; default: the one this state directory runs.", _SERVICE)] = None
    bundle: Annotated[
        Path | None, _option("Bundle of the baseline and of the users; default: the served one.", _SERVICE)
    ] = None
    ids: Annotated[
        Path | None, _option("Ids of known users, one per line; default: of the served bundle.", _SERVICE)
    ] = None
    ca: Annotated[Path | None, _option("PEM file of the authorities to trust (TLS); default: client.ca.", _SERVICE)] = (
        None
    )
    songs: Annotated[Path | None, _option("Songs for tastes, one 'Title - Artist' per line.", _SERVICE)] = None


@dataclass(frozen=True)
class PaceOptions:
    """Options of the pace: calls, their time, and the clients."""

    duration: Annotated[float, _option("Seconds measured in each round.", _PACE)] = 10.0
    warmup: Annotated[float, _option("Seconds of load before the measurement.", _PACE)] = 2.0
    rate: Annotated[
        float | None,
        _option("Calls a second, whatever the server does (open loop); default: closed loop.", _PACE),
    ] = None
    callers: Annotated[
        int | None, _option("Calls in flight: all the time (closed, default 32), or at most (open, 512).", _PACE)
    ] = None
    connections: Annotated[int, _option("TCP connections that the callers share.", _PACE)] = 1
    processes: Annotated[int, _option("Client processes that share the callers.", _PACE)] = 1
    timeout: Annotated[float, _option("Deadline of a call in seconds.", _PACE)] = 5.0


@dataclass(frozen=True)
class CallOptions:
    """Options of each call, and of its check."""

    users_per_call: Annotated[int, _option("Users in a Recommend, 1 to 1,000.", _CALLS)] = 1
    limit: Annotated[int, _option("Playlists per user, 1 to 100.", _CALLS)] = 5
    explain: Annotated[bool, _option("Ask for reasons.", _CALLS)] = True
    mix: Annotated[str, _option("Weights of known, taste, unknown and feedback: known=80,taste=20.", _CALLS)] = "known"
    reactions: Annotated[int, _option("Likes in a Feedback, 1 to 100.", _CALLS)] = 1
    check_every: Annotated[int, _option("Decode and check one answer in this many.", _CALLS)] = 20
    seed: Annotated[int, _option("Seed of the requests that are drawn.", _CALLS)] = 1

    def weights(self) -> dict[CallKind, float]:
        """The mix. typer.BadParameter: it cannot be read."""
        try:
            return parse_mix(self.mix)
        except MixError as error:
            raise typer.BadParameter(str(error), param_hint="--mix") from None


@dataclass(frozen=True)
class RunOptions:
    """Options of the measurements."""

    rounds: Annotated[int | None, _option("Number of rounds; default: 1, with a baseline or peers 3.", _RUN)] = None
    baseline: Annotated[
        bool, _option("Also measure a bare grpc.aio server with the same handlers, in turn.", _RUN, "--baseline")
    ] = False
    peers: Annotated[
        bool,
        _option("Measure other ways to serve the same bundle, in turn with the service.", _RUN, "--peers"),
    ] = False
    peer: Annotated[list[PeerName] | None, _option("With --peers: this one; several are possible.", _RUN)] = None
    edge: Annotated[
        str | None, _option("With --peers: host:port of the service's edge, called with TLS and the token.", _RUN)
    ] = None
    scenario: Annotated[
        Scenario | None, _option("Measure a set of calls; targets: the figures that serving is judged by.", _RUN)
    ] = None
    soak: Annotated[bool, _option("Then run at 60 % of the capacity found.", _RUN, "--soak")] = False
    soak_seconds: Annotated[float, _option("Length of the soak in seconds.", _RUN)] = 600.0

    @property
    def times(self) -> int:
        """Rounds to measure."""
        return self.rounds or (ROUNDS_WITH_BASELINE if self.baseline or self.peers else ROUNDS)


@dataclass(frozen=True)
class Thresholds:
    """Thresholds that end the command with exit code 1 after a measurement that succeeded."""

    max_error_rate: Annotated[float | None, _option("Fail above this share of failed calls.", _LIMITS)] = None
    max_p99_ms: Annotated[float | None, _option("Fail when p99 is above, in milliseconds.", _LIMITS)] = None
    min_calls_per_s: Annotated[float | None, _option("Fail below this many answers a second.", _LIMITS)] = None
    require_targets: Annotated[bool, _option("Fail when a target is not reached.", _LIMITS, "--require-targets")] = (
        False
    )


def plan_of(pace: PaceOptions, calls: CallOptions, address: str) -> LoadPlan:
    """The plan that the options describe. typer.BadParameter names the option that is out of its range."""
    plan = LoadPlan(
        address=address, mix=calls.weights(), rate=pace.rate,
        callers=pace.callers or (CLOSED_CALLERS if pace.rate is None else OPEN_CALLERS),
        connections=pace.connections, processes=pace.processes, duration_s=pace.duration, warmup_s=pace.warmup,
        users_per_call=calls.users_per_call, limit=calls.limit, explain=calls.explain, reactions=calls.reactions,
        timeout_s=pace.timeout, check_every=calls.check_every, seed=calls.seed,
    )  # fmt: skip
    _check_ranges(
        ("--users-per-call", plan.users_per_call, 1, 1_000),
        ("--limit", plan.limit, 1, 100),
        ("--reactions", plan.reactions, 1, 100),
        ("--callers", pace.callers, 1, 100_000),
        ("--connections", plan.connections, 1, 10_000),
        ("--processes", plan.processes, 1, 256),
        ("--check-every", plan.check_every, 1, 10**9),
        ("--duration", plan.duration_s, 0.1, 10**6),
        ("--warmup", plan.warmup_s, 0, 10**6),
        ("--timeout", plan.timeout_s, 0.001, 3_600),
        ("--rate", plan.rate, 0.01, 10**6),
    )
    if plan.processes > plan.callers:
        raise typer.BadParameter(f"--processes ({plan.processes}) must not exceed --callers ({plan.callers})")
    if plan.connections > plan.callers:
        raise typer.BadParameter(f"--connections ({plan.connections}) must not exceed --callers ({plan.callers})")
    return plan


def check_run(run: RunOptions) -> None:
    """typer.BadParameter names the option that is out of its range."""
    _check_ranges(("--rounds", run.rounds, 1, 1_000), ("--soak-seconds", run.soak_seconds, 1, 10**6))
    if run.edge is not None:
        try:
            check_address(run.edge)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--edge") from None
    if not run.peers and (run.peer or run.edge is not None):
        raise typer.BadParameter("--peer and --edge need --peers")
    if run.peers and (run.scenario is not None or run.soak or run.baseline):
        raise typer.BadParameter("--peers measures the baseline too, and no scenario or soak", param_hint="--peers")


def check_peers(plan: LoadPlan) -> None:
    """typer.BadParameter: the peers cannot do this work."""
    if set(plan.mix) != {CallKind.KNOWN} or plan.rate is not None:
        raise typer.BadParameter("peers answer known users in a closed loop: no --mix, no --rate", param_hint="--peers")


def _check_ranges(*ranges: tuple[str, float | None, float, float]) -> None:
    """Each an option, its value, the least and the most. typer's own ranges let NaN through."""
    for option, value, least, most in _given(ranges):
        if not least <= value <= most:
            raise typer.BadParameter(f"{value:g} is not in {least:g} to {most:g}", param_hint=option)


def _given(ranges: Iterable[tuple[str, float | None, float, float]]) -> Iterable[tuple[str, float, float, float]]:
    return ((option, value, least, most) for option, value, least, most in ranges if value is not None)
