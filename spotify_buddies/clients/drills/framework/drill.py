"""A drill: what it does, and the service that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from spotify_buddies.clients.drills.framework.result import DrillResult, FaultCost
from spotify_buddies.clients.drills.framework.service import ORDINARY, ServiceUnderTest, Setting
from spotify_buddies.clients.drills.framework.traffic import Users, capacity, half_of

Say = Callable[[str], None]


class Group(StrEnum):
    """Drills that are named together."""

    FAULTS = "faults"
    ROLLOUTS = "rollouts"


@dataclass(frozen=True)
class Options:
    """Options of single drills. model: its name in the registry.

    swaps: of the drill `swaps`. cases, seed: of `fuzz`. rate: calls a second, None: the drill's own.
    """

    model: str
    swaps: int = 20
    rate: float | None = None
    cases: int = 100_000
    seed: int = 7


@dataclass(frozen=True)
class Stage:
    """The service, users and options of a drill. patience_s: the longest wait for a recovery."""

    service: ServiceUnderTest
    users: Users
    options: Options
    say: Say
    patience_s: float = 90.0

    @property
    def address(self) -> str:
        """Of the service's gRPC."""
        return self.service.endpoints.grpc

    def rate(self) -> float:
        """Calls a second that were asked for, or half of what the service answers now. BuddiesError: a call failed."""
        return self.options.rate or half_of(capacity(self.address, self.users))


@dataclass(frozen=True)
class Drill:
    """One drill by name. play: DrillError, CommandFailed and BuddiesError where it cannot be brought to its end.

    setting: drills with the same one share a service. users: how many the traffic is for.
    """

    name: str
    about: str
    group: Group
    play: Callable[[Stage], DrillResult]
    setting: Setting = ORDINARY
    users: int = 50

    def skipped(self, reason: str) -> DrillResult:
        """The result where it cannot be run."""
        return DrillResult(self.name, cost=FaultCost() if self.group is Group.FAULTS else None, skipped=reason)
