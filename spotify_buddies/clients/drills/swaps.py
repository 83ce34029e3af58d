"""Version after version becomes production under steady traffic: no call fails, none is slow, and nothing grows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from spotify_buddies.clients.drills.rehearsal import Rehearsal, Stage, markdown, milliseconds, percentile
from spotify_buddies.clients.drills.service_under_test import DrillError, Served
from spotify_buddies.clients.drills.steady import Call, Steady, capacity, errors_of, half_of, unsigned

# Production, and as many as make each swap load a version that was let go of before.
DERIVED = 2
ROUNDS = 2
CALM_S = 20.0
SETTLE_S = 3.0
# Of the time in which listeners go over, and the longest wait for it.
OVER_S, WITHIN_S, POLL_S = 1.0, 120.0, 0.05
MOST_SLOWER = 2.0
MEMORY_SHARE, MEMORY_MIB = 0.05, 8.0


@dataclass(frozen=True)
class Swap:
    """One change of production, by the registry's alias, as the callers saw it.

    loaded_s: from the alias's move until the first answer of the version; swapped_s: from that one until the last
    answer of the version before. spans: the first of these and OVER_S from then on, Unix times. loading_p99_s,
    swapping_p99_s: of the calls that were due in them. pss_mib: of all replicas afterwards.
    """

    version: str
    loaded_s: float
    swapped_s: float
    spans: tuple[tuple[float, float], ...]
    loading_p99_s: float | None
    swapping_p99_s: float | None
    pss_mib: float


@dataclass(frozen=True)
class Window:
    """Calls of a time. p50_s, p99_s: from the time at which a call was due; None where none was answered."""

    calls: int
    failed: int
    p50_s: float | None
    p99_s: float | None

    @classmethod
    def of(cls, calls: Sequence[Call]) -> Window:
        """Of the calls that were due in it."""
        times = [call.latency_s for call in calls if not call.error]
        return cls(len(calls), len(calls) - len(times), percentile(times, 50), percentile(times, 99))


@dataclass(frozen=True)
class ReplicaMemory:
    """The replicas' processes in MiB, all together. pss: shared pages by their share; uss: pages of their own."""

    processes: int
    pss: float
    uss: float


def play(stage: Stage) -> Rehearsal:
    """The drill. DrillError, CommandFailed: it could not be brought to its end."""
    rollout = stage.rollout
    with rollout.restored() as production:
        ring = [production, *(rollout.derive(production, "same", seed) for seed in range(1, DERIVED + 1))]
        asked = stage.rate or half_of(capacity(rollout.address, stage.user_ids, stage.tastes))
        stage.say(f"swaps: {asked:.0f} calls/s; {stage.swaps} swaps of versions {', '.join(ring)}")
        with Steady(rollout.address, stage.user_ids, stage.tastes, asked).running() as traffic:
            # Every version twice: what is made only once is there, and the allocators have what they keep.
            for number in range(1, ROUNDS * len(ring) + 1):
                _move(stage, ring[(number - 1) % len(ring)], ring[number % len(ring)], traffic)
            time.sleep(SETTLE_S)
            first = time.time()
            time.sleep(CALM_S)
            before = memory_of(rollout.served)
            began = time.time()
            moves = []
            for number in range(1, stage.swaps + 1):
                moves.append(_move(stage, ring[(number - 1) % len(ring)], ring[number % len(ring)], traffic))
                stage.say(f"swaps: {number} of {stage.swaps}, {moves[-1].first - moves[-1].moved:.1f} s")
            ended = time.time()
            time.sleep(SETTLE_S + CALM_S)
            after = memory_of(rollout.served)
            last = time.time()
        swaps = _swaps(moves, ended, traffic)
        steady = Window.of(traffic.between(first, began))
        during = Window.of([call for swap in swaps for span in swap.spans for call in traffic.between(*span)])
        whole = Window.of(traffic.between(began, ended))
        behind = Window.of(traffic.between(ended + SETTLE_S, last))
        problems = judge(traffic.calls, steady, during, before, after, expected=set(ring))
        return _told(traffic, swaps, (steady, during, whole, behind), (before, after), problems)


@dataclass(frozen=True)
class _Move:
    """The alias moved from one version to another. moved, first: Unix times, of the move and of the first answer."""

    before: str
    version: str
    moved: float
    first: float
    pss_mib: float


def _move(stage: Stage, before: str, version: str, traffic: Steady) -> _Move:
    # Moved as in MLflow and seen by the answers: a command would take its start from the service's own processors.
    rollout, moved, seen = stage.rollout, time.time(), len(traffic.calls)
    rollout.aliases.move("production", version)
    deadline = time.monotonic() + WITHIN_S
    # Of the answers only what is new is looked at: the callers are in this process, and would have to wait for more.
    while (first := _first(new := traffic.calls[seen:], version)) is None:
        seen += len(new)
        if time.monotonic() > deadline:
            raise DrillError(f"version {version} is not served within {WITHIN_S:.0f} s; see `buddies rollout status`")
        time.sleep(POLL_S)
    time.sleep(max(0.0, first + OVER_S - time.time()))
    # Written when every replica serves the version.
    found = rollout.wait_aliases(lambda found: found.get("previous") == before, WITHIN_S)
    if found.get("previous") != before:
        raise DrillError(f"version {version} is production, and {before} not previous after {WITHIN_S:.0f} s: {found}")
    return _Move(before, version, moved, first, memory_of(rollout.served).pss)


def _swaps(moves: Sequence[_Move], ended: float, traffic: Steady) -> list[Swap]:
    """What callers saw of each, once every call has ended."""
    found = []
    for move, until in zip(moves, [*(later.moved for later in moves[1:]), ended], strict=True):
        old = [call.ended_at for call in traffic.between(move.moved, until) if call.version == move.before]
        spans = ((move.moved, move.first), (move.first, move.first + OVER_S))
        loading, swapping = (Window.of(traffic.between(*span)) for span in spans)
        over_s = max([0.0, *(at - move.first for at in old)])
        found.append(
            Swap(
                move.version, move.first - move.moved, over_s, spans, loading.p99_s, swapping.p99_s, move.pss_mib
            )
        )  # fmt: skip
    return found


def _first(calls: Sequence[Call], version: str) -> float | None:
    """When the version first answered."""
    return min((call.ended_at for call in calls if call.version == version), default=None)


def memory_of(served: Served) -> ReplicaMemory:
    """What the replicas take now."""
    found = []
    for process in served.find("replica"):
        try:
            found.append(process.memory_full_info())
        except psutil.NoSuchProcess:
            continue
    return ReplicaMemory(len(found), sum(one.pss for one in found) / 2**20, sum(one.uss for one in found) / 2**20)


def judge(
    calls: Sequence[Call],
    steady: Window,
    during: Window,
    before: ReplicaMemory,
    after: ReplicaMemory,
    *,
    expected: set[str],
) -> tuple[str, ...]:
    """What breaks the limits, one sentence each. steady: before the swaps. expected: the versions that may answer."""
    problems = []
    if not calls or steady.p99_s is None or during.p99_s is None:
        return ("no call was answered",)
    if errors := errors_of(calls):
        problems.append(f"{sum(errors.values()):,} of {len(calls):,} calls failed ({errors})")
    if during.p99_s > MOST_SLOWER * steady.p99_s:
        problems.append(
            f"p99 is {milliseconds(during.p99_s)} during the swaps, more than {MOST_SLOWER:g} times the "
            f"{milliseconds(steady.p99_s)} before"
        )
    if others := {call.version for call in calls if not call.error} - expected:
        problems.append(f"versions {', '.join(sorted(others))} answered, and were not asked to")
    if count := unsigned(calls):
        problems.append(f"{count:,} answers do not say version and arm")
    if before.processes != after.processes:
        problems.append(f"{before.processes} replicas before the swaps, {after.processes} afterwards")
    elif after.pss > before.pss * (1 + MEMORY_SHARE) + MEMORY_MIB:
        problems.append(
            f"the replicas take {after.pss:,.0f} MiB after the swaps, {before.pss:,.0f} before; at most "
            f"{MEMORY_SHARE:.0%} and {MEMORY_MIB:g} MiB more"
        )
    return tuple(problems)


def _told(
    traffic: Steady,
    swaps: Sequence[Swap],
    windows: Sequence[Window],
    memory: tuple[ReplicaMemory, ReplicaMemory],
    problems: tuple[str, ...],
) -> Rehearsal:
    calls, errors = traffic.calls, errors_of(traffic.calls)
    names = ("steady before", f"during {len(swaps)} swaps",
             "the whole time, moves of the alias included", "steady after")  # fmt: skip
    lines = [
        *markdown(
            ("calls", "sent", "failed", "p50", "p99"),
            [
                (name, f"{one.calls:,}", f"{one.failed:,}", milliseconds(one.p50_s), milliseconds(one.p99_s))
                for name, one in zip(names, windows, strict=True)
            ],
        ),
        "",
        *markdown(
            (
                "swap to version",
                "first answer of it after",
                "p99 meanwhile",
                "last answer of the old one after that",
                "p99 of that second",
                "PSS",
            ),
            [
                (
                    s.version,
                    f"{s.loaded_s:.1f} s",
                    milliseconds(s.loading_p99_s),
                    f"{s.swapped_s:.2f} s",
                    milliseconds(s.swapping_p99_s),
                    f"{s.pss_mib:,.0f} MiB",
                )
                for s in swaps
            ],
        ),
        "",
        *markdown(
            ("memory of the replicas", "processes", "PSS", "USS"),
            [
                (name, str(one.processes), f"{one.pss:,.0f} MiB", f"{one.uss:,.0f} MiB")
                for name, one in zip(("before the swaps", "afterwards"), memory, strict=True)
            ],
        ),
    ]
    cut = sum(call.cut for call in calls)
    figures: dict[str, Any] = {
        "calls_per_s": round(traffic.rate, 1),
        "windows": {
            name: asdict(one) for name, one in zip(("before", "during", "whole", "after"), windows, strict=True)
        },
        "swaps": [asdict(swap) for swap in swaps],
        "memory_mib": {name: asdict(one) for name, one in zip(("before", "after"), memory, strict=True)},
        "without_neighbours": cut,
    }
    return Rehearsal("swaps", len(calls), sum(errors.values()), errors, figures, tuple(lines), problems)
