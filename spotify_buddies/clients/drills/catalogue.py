"""The drills by name."""

from __future__ import annotations

from collections.abc import Mapping

from spotify_buddies.clients.drills.flood import play as flood
from spotify_buddies.clients.drills.framework.drill import Drill, Group
from spotify_buddies.clients.drills.framework.result import Limits
from spotify_buddies.clients.drills.framework.service import ORDINARY, Setting
from spotify_buddies.clients.drills.fuzz import play as fuzz
from spotify_buddies.clients.drills.processes import connections, faults, machine
from spotify_buddies.clients.drills.processes.under_traffic import under_traffic
from spotify_buddies.clients.drills.rollout import canary, gates, swaps
from spotify_buddies.clients.drills.rollout import faults as rollout_faults

NOTHING = Limits(0.0, 0)
# While the part is down every call of the schedule fails; what counts is for how long.
AN_OUTAGE = 0.75
REPLICAS: Mapping[str, str] = {"BUDDIES_SERVE__REPLICAS": "2"}
TWO_REPLICAS = Setting.of(REPLICAS, attachable=True)
CLOCK, DISK = Setting(machine.faked_clock), Setting(machine.small_disk)
# Users of a rollout's drill, so that both arms have some.
MANY = 5_000


def _fault(name: str, about: str, fault: faults.Fault, limits: Limits, setting: Setting = ORDINARY) -> Drill:
    return Drill(name, about, Group.FAULTS, under_traffic(name, fault, limits), setting)


FAULTS: tuple[Drill, ...] = (
    _fault("replica", "kill -9 of a ranker", faults.killed("replica"), Limits(AN_OUTAGE, 15)),
    _fault("controller", "kill -9 of the Serve controller", faults.killed("controller"), NOTHING),
    _fault("index", "kill -9 of the neighbour index", faults.killed("index"), NOTHING),
    _fault("haproxy", "kill -9 of HAProxy", faults.killed("haproxy"), Limits(AN_OUTAGE, 30)),
    _fault("redis", "kill -9 of the Redis-compatible store", faults.killed("valkey"), NOTHING),
    _fault("redis-frozen", "the store holds connections and says nothing for 5 s", faults.stopped("valkey", 5.0),
           NOTHING),
    _fault("postgres", "kill -9 of Postgres", faults.killed("postgres"), Limits(0.5, 30)),
    _fault("postgres-frozen", "Postgres says nothing for 5 s", faults.stopped("postgres and its children", 5.0),
           Limits(0.5, 15)),
    _fault("mlflow", "kill -9 of the registry's server", faults.killed("mlflow"), NOTHING),
    _fault("silent", "10,000 connections that say nothing", connections.silent_connections, NOTHING),
    _fault("garbage", "random bytes on the port", connections.garbage, NOTHING),
    _fault("unread", "callers that never read their answers", connections.unread_answers, NOTHING),
    _fault("bundle", "a version whose bundle is half written is to take over", faults.half_written, NOTHING),
    _fault("release", "all replicas are replaced by new ones, as for new code", faults.released, NOTHING),
    _fault("clock", "the wall clock jumps an hour ahead and two back", machine.jumping_clock, Limits(0.01, 5), CLOCK),
    _fault("disk", "Postgres' disk is full for 5 s", machine.full_disk, Limits(0.5, 60), DISK),
    Drill("fuzz", "requests that no client would send", Group.FAULTS, fuzz.play),
    Drill("flood", "one caller floods the service with all that HTTP/2 allows", Group.FAULTS, flood.play),
)  # fmt: skip

ROLLOUTS: tuple[Drill, ...] = (
    Drill("swaps", "20 swaps of production in a row: errors, p99 and memory", Group.ROLLOUTS, swaps.play,
          TWO_REPLICAS, MANY),
    Drill("canary", "10 %, 50 %, promoted, rolled back: shares and who is in them", Group.ROLLOUTS, canary.play,
          TWO_REPLICAS, MANY),
    Drill("gates", "a failing, a worse and an equal version, before simulated users", Group.ROLLOUTS, gates.play,
          Setting.of({**REPLICAS, **gates.SETTINGS}), MANY),
    Drill("rollout-faults", "a rollout with the registry, a replica or a version broken", Group.ROLLOUTS,
          rollout_faults.play, TWO_REPLICAS, MANY),
)  # fmt: skip

DRILLS: Mapping[str, Drill] = {drill.name: drill for drill in (*FAULTS, *ROLLOUTS)}


def chosen(names: list[str]) -> list[Drill]:
    """The drills of these names, or of these groups, each once. KeyError: a name that is neither."""
    groups = {group.value: [drill.name for drill in DRILLS.values() if drill.group is group] for group in Group}
    return [DRILLS[name] for name in dict.fromkeys(one for name in names for one in groups.get(name, (name,)))]
