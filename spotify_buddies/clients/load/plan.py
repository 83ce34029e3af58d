"""The plan of a measurement: frozen, and the same for every client process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from spotify_buddies.clients.load.mix import CallKind


class Protocol(StrEnum):
    """How calls are carried: the API, or the published HTTP shape, in JSON."""

    GRPC = "grpc"
    REST = "rest"


@dataclass(frozen=True)
class LoadPlan:
    """One measurement against one server.

    rate: calls a second of all processes together, sent at fixed times whatever the server does; None: a closed loop.
    callers: calls in flight at most, of all processes together; a closed loop keeps exactly so many. connections: TCP
    connections, shared by the callers. users_per_call: users in a Recommend. limit: playlists per user.
    reactions: likes in a Feedback. timeout_s: deadline of a call. check_every: one answer in so many is decoded and
    checked. warmup_s: load before the measurement, which lasts duration_s. tls: with the client processes' Access.
    """

    address: str
    mix: Mapping[CallKind, float]
    rate: float | None = None
    callers: int = 32
    connections: int = 1
    processes: int = 1
    duration_s: float = 10.0
    warmup_s: float = 2.0
    users_per_call: int = 1
    limit: int = 5
    explain: bool = True
    reactions: int = 1
    timeout_s: float = 5.0
    check_every: int = 20
    seed: int = 1
    protocol: Protocol = Protocol.GRPC
    tls: bool = False

    def part(self, process: int) -> Part:
        """The part of one process; the callers and connections are dealt out in turn, at least one each."""
        callers = len(range(process, self.callers, self.processes))
        connections = len(range(process, self.connections, self.processes))
        return Part(self, process, max(1, callers), max(1, min(connections, callers)))

    def at(self, address: str, protocol: Protocol = Protocol.GRPC, *, tls: bool = False) -> LoadPlan:
        """The same work against another server."""
        return replace(self, address=address, protocol=protocol, tls=tls)

    def to_json(self) -> dict[str, Any]:
        """The form that from_json reads."""
        return {**asdict(self), "mix": {kind.value: weight for kind, weight in self.mix.items()}}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> LoadPlan:
        """Read what to_json wrote."""
        mix = {CallKind(name): weight for name, weight in body["mix"].items()}
        return cls(**{**body, "mix": mix, "protocol": Protocol(body["protocol"])})


@dataclass(frozen=True)
class Part:
    """One process's share of a plan, process counted from 0."""

    plan: LoadPlan
    process: int
    callers: int
    connections: int

    def send_time_s(self, number: int) -> float | None:
        """When this process's call `number` (from 0) is to be sent, in seconds since the start; None: no more calls.

        The processes take turns in one schedule of equal distances, fixed before the start: a late answer moves
        nothing. For open loops only.
        """
        if self.plan.rate is None:
            raise ValueError("set a rate: only an open loop has a schedule")
        due = (number * self.plan.processes + self.process) / self.plan.rate
        return due if due < self.plan.warmup_s + self.plan.duration_s else None
