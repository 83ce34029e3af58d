"""The drills by name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from spotify_buddies.clients.drills import faults, machine
from spotify_buddies.clients.drills.outcome import Limits


@dataclass(frozen=True)
class Drill:
    """One fault under traffic. setting: how its service is started; `ordinary` ones share one, or the running one."""

    name: str
    about: str
    fault: faults.Fault
    limits: Limits
    setting: Callable[[Path], AbstractContextManager[machine.Setting]] = machine.ordinary

    @property
    def needs_own_service(self) -> bool:
        """Whether it cannot be run on a service that runs already."""
        return self.setting is not machine.ordinary


DRILLS: dict[str, Drill] = {
    drill.name: drill
    for drill in (
        Drill("replica", "kill -9 of a ranker", faults.killed("replica"), Limits(0.05, 15)),
        Drill("controller", "kill -9 of the Serve controller", faults.killed("controller"), Limits(0.0, 0)),
        Drill("index", "kill -9 of the neighbour index", faults.killed("index"), Limits(0.0, 0)),
        Drill("haproxy", "kill -9 of HAProxy", faults.killed("haproxy"), Limits(0.5, 30)),
        Drill("redis", "kill -9 of the Redis-compatible store", faults.killed("valkey"), Limits(0.0, 0)),
        Drill("redis-frozen", "the store holds connections and says nothing for 5 s",
              faults.stopped("valkey", 5.0), Limits(0.0, 0)),
        Drill("postgres", "kill -9 of Postgres", faults.killed("postgres"), Limits(0.5, 30)),
        Drill("postgres-frozen", "Postgres says nothing for 5 s",
              faults.stopped("postgres and its children", 5.0), Limits(0.5, 15)),
        Drill("mlflow", "kill -9 of the registry's server", faults.killed("mlflow"), Limits(0.0, 0)),
        Drill("silent", "10,000 connections that say nothing", faults.silent_connections, Limits(0.0, 0)),
        Drill("garbage", "random bytes on the port", faults.garbage, Limits(0.0, 0)),
        Drill("unread", "callers that never read their answers", faults.unread_answers, Limits(0.0, 0)),
        Drill("bundle", "a version whose bundle is half written is to take over", faults.half_written, Limits(0.0, 0)),
        Drill("release", "all replicas are replaced by new ones, as for new code", faults.released, Limits(0.0, 0)),
        Drill("clock", "the wall clock jumps an hour ahead and two back", machine.jumping_clock, Limits(0.01, 5),
              machine.faked_clock),
        Drill("disk", "Postgres' disk is full for 5 s", machine.full_disk, Limits(0.5, 60), machine.small_disk),
    )
}  # fmt: skip
