"""Versions that replicas are to serve, and those that they do serve, as stored in Postgres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class GenerationState(StrEnum):
    """State of a generation: `preparing` until all live replicas have its versions, then one of the others."""

    PREPARING = "preparing"
    ACTIVE = "active"
    FAILED = "failed"


class Load(StrEnum):
    """State of a version on a replica."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class Role(StrEnum):
    """Kinds of replicas that hold versions."""

    RANKER = "ranker"
    INDEX = "index"


@dataclass(frozen=True)
class Wanted:
    """Versions by their numbers in the registry. share: of the users, 0 to 1, answered by the canary.

    salt: decides with a user's id who they are (serve_app/versions/arms.py); kept as long as the canary is. shadow:
    ranks beside production, unseen. previous: kept loaded. paused: gates decide nothing. interleave: the share gets
    lists drafted from production and canary, not the canary's.
    """

    production: str
    canary: str | None = None
    share: float = 0.0
    salt: str = ""
    shadow: str | None = None
    previous: str | None = None
    paused: bool = False
    interleave: bool = False

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions to load, production first, none twice."""
        named = (self.production, self.canary, self.shadow, self.previous)
        return tuple(dict.fromkeys(version for version in named if version is not None))


@dataclass(frozen=True)
class Generation:
    """One change of the wanted versions: who made it, how and why. at, decided_at: UTC."""

    number: int
    wanted: Wanted
    at: datetime
    who: str
    action: str
    why: str
    state: GenerationState
    decided_at: datetime | None = None
    message: str = ""


@dataclass(frozen=True)
class Held:
    """A version on one replica. since: UTC, when this state began. sha256: of the bundle, "" before it is known."""

    state: Load
    since: datetime
    message: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Report:
    """The versions on one replica. prepared, following: generations, 0 for none. age_s: by the database's clock."""

    replica: str
    role: Role
    prepared: int
    following: int
    versions: Mapping[str, Held] = field(default_factory=dict)
    age_s: float = 0.0


@dataclass(frozen=True)
class Event:
    """A decision or an observation, with its figures."""

    at: datetime
    generation: int
    kind: str
    message: str
    version: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
