"""The controller's figures for Prometheus, read once a poll from the rows that `buddies rollout status` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import GenerationState


@dataclass(frozen=True)
class RolloutFigures:
    """The state of the rollout. active, preparing: generations, 0 for none. share: of the users, 0 to 1, with the
    canary. registry_away_s: 0 while the registry answers. events: new ones since the last look, by kind.
    """

    active: int = 0
    preparing: int = 0
    share: float = 0.0
    registry_away_s: float = 0.0
    events: Mapping[str, int] = field(default_factory=dict)


class Watcher:
    """Reads the figures again and again; events from before its first look are not counted."""

    def __init__(self) -> None:
        self._after: int | None = None

    async def look(self, connection: psycopg.AsyncConnection) -> RolloutFigures:
        """The figures in Postgres now. psycopg.Error: it is unreachable."""
        newest = await ledger.read_newest(connection)
        active = newest if newest is None or newest.state is GenerationState.ACTIVE else None
        if active is None:
            active = await ledger.read_newest(connection, GenerationState.ACTIVE)
        cursor = await connection.execute(
            "SELECT coalesce(extract(epoch FROM now() - registry_away_since), 0)::double precision"
            " FROM rollout_controller"
        )
        away = await cursor.fetchone()
        return RolloutFigures(
            0 if active is None else active.number,
            newest.number if newest is not None and newest.state is GenerationState.PREPARING else 0,
            0.0 if active is None else active.wanted.share,
            0.0 if away is None else float(away[0]),
            await self._events(connection),
        )

    async def _events(self, connection: psycopg.AsyncConnection) -> dict[str, int]:
        cursor = await connection.execute(
            "SELECT kind, count(*), max(id) FROM rollout_events WHERE id > %s GROUP BY kind", (self._after or 0,)
        )
        rows = await cursor.fetchall()
        first, self._after = self._after is None, max([self._after or 0, *(newest for _, _, newest in rows)])
        return {} if first else {kind: count for kind, count, _ in rows}


class RayGauges:
    """Ray's metrics, which Prometheus scrapes from the node. Only inside a replica."""

    def __init__(self) -> None:
        from ray.serve import metrics

        self._gauges: dict[str, Any] = {
            "active": metrics.Gauge("rollout_active_generation", description="The generation that is served"),
            "preparing": metrics.Gauge(
                "rollout_preparing_generation", description="The generation that replicas load, 0 for none"
            ),
            "share": metrics.Gauge("rollout_canary_share", description="Share of the users with the canary"),
            "registry_away_s": metrics.Gauge(
                "rollout_registry_away_seconds",
                description="Seconds since the registry stopped answering, 0 while it answers",
            ),
        }
        self._events = metrics.Counter(
            "rollout_events_total",
            description="Events of the rollout by kind: advanced, rolled_back, blocked, failed, refused, ..",
            tag_keys=("kind",),
        )

    def tell(self, figures: RolloutFigures) -> None:
        """Set the gauges and count the events."""
        for name, gauge in self._gauges.items():
            gauge.set(getattr(figures, name))
        for kind, count in figures.events.items():
            self._events.inc(count, tags={"kind": kind})
