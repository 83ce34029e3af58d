"""The drill `swaps`: version after version becomes production; no call fails, none is slow, and nothing grows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from spotify_buddies.clients.drills.framework.account import Window, errors_of, milliseconds, unsigned
from spotify_buddies.clients.drills.framework.apart import TrafficApart
from spotify_buddies.clients.drills.framework.drill import Say, Stage
from spotify_buddies.clients.drills.framework.result import DrillResult
from spotify_buddies.clients.drills.framework.service import DrillError, ServiceUnderTest
from spotify_buddies.clients.drills.framework.traffic import Call, Traffic
from spotify_buddies.clients.drills.rollout.driven import Rollout
from spotify_buddies.clients.python import Skipped
from spotify_buddies.foundation.terminal.tables import table

# With production three versions take turns, so that each swap loads one that the replicas have dropped.
DERIVED = 2
ROUNDS = 2
CALM_S = 20.0
SETTLE_S = 3.0
# The time in which users change over, and the longest wait for it.
OVER_S, WITHIN_S, POLL_S = 1.0, 120.0, 0.05
# A longer p99 counts from where a caller notices it: an idle service answers in so few milliseconds that the wake-up of
# a thread doubles them.
MOST_SLOWER, NOTICED_S = 2.0, 0.02
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
class ReplicaMemory:
    """The replicas' processes in MiB, all together. pss: shared pages by their share; uss: pages of their own."""

    processes: int
    pss: float
    uss: float


def play(stage: Stage) -> DrillResult:
    """The drill. DrillError, CommandFailed: it could not be brought to its end."""
    rollout = Rollout.of(stage.service, stage.options.model)
    with rollout.restored() as production:
        ring = [production, *(rollout.derive(production, "same", seed) for seed in range(1, DERIVED + 1))]
        rate, count = stage.rate(), stage.options.swaps
        stage.say(f"swaps: {rate:.0f} calls/s; {count} swaps of versions {', '.join(ring)}")
        with TrafficApart(stage.address, stage.users, rate).running() as traffic:
            # Every version twice: what is made only once is there, and the allocators have what they keep.
            _swap_round(rollout, ring, ROUNDS * len(ring), traffic, lambda _: None)
            time.sleep(SETTLE_S)
            first = time.time()
            time.sleep(CALM_S)
            before = memory_of(rollout.service)
            began = time.time()
            moves = _swap_round(rollout, ring, count, traffic, stage.say)
            ended = time.time()
            # As long and as calm as before the swaps, so that both measurements of memory are alike.
            time.sleep(SETTLE_S + CALM_S)
            after = memory_of(rollout.service)
            last = time.time()
        swaps = _swaps(moves, ended, traffic)
        steady = Window.of(traffic.between(first, began))
        during = Window.of([call for swap in swaps for span in swap.spans for call in traffic.between(*span)])
        whole = Window.of(traffic.between(began, ended))
        behind = Window.of(traffic.between(ended + SETTLE_S, last))
        problems = judge(traffic.calls, steady, during, before, after, expected=set(ring))
        return _result(traffic, swaps, (steady, during, whole, behind), (before, after), problems)


@dataclass(frozen=True)
class _Move:
    """The alias moved from one version to another. moved, first: Unix times, of the move and of the first answer."""

    before: str
    version: str
    moved: float
    first: float
    pss_mib: float


def _swap_round(rollout: Rollout, ring: Sequence[str], count: int, traffic: Traffic, say: Say) -> list[_Move]:
    """So many swaps, around the ring."""
    moves = []
    for number in range(1, count + 1):
        moves.append(_move(rollout, ring[(number - 1) % len(ring)], ring[number % len(ring)], traffic))
        say(f"swaps: {number} of {count}, {moves[-1].first - moves[-1].moved:.1f} s")
    return moves


def _move(rollout: Rollout, before: str, version: str, traffic: Traffic) -> _Move:
    # By the registry and seen in the answers: to start a command would take time from the service's processors.
    moved, seen = time.time(), len(traffic.calls)
    rollout.aliases.move("production", version)
    deadline = time.monotonic() + WITHIN_S
    # Only new answers are looked at: the callers are in this process, and would have to wait for more.
    while (first := _first(new := traffic.calls[seen:], version)) is None:
        seen += len(new)
        if time.monotonic() > deadline:
            raise DrillError(f"version {version} is not served within {WITHIN_S:.0f} s; see `buddies rollout status`")
        time.sleep(POLL_S)
    time.sleep(max(0.0, first + OVER_S - time.time()))
    # Written when every replica serves the version.
    aliases = rollout.wait_aliases(lambda named: named.get("previous") == before, WITHIN_S)
    if aliases.get("previous") != before:
        raise DrillError(
            f"version {version} is production, and {before} not previous after {WITHIN_S:.0f} s: {aliases}"
        )
    return _Move(before, version, moved, first, memory_of(rollout.service).pss)


def _swaps(moves: Sequence[_Move], ended: float, traffic: Traffic) -> list[Swap]:
    """Each swap as the callers saw it, once every call has ended."""
    swaps = []
    for move, until in zip(moves, [*(later.moved for later in moves[1:]), ended], strict=True):
        old = [call.ended for call in traffic.between(move.moved, until) if call.version == move.before]
        spans = ((move.moved, move.first), (move.first, move.first + OVER_S))
        loading, swapping = (Window.of(traffic.between(*span)) for span in spans)
        over_s = max([0.0, *(ended_unix - move.first for ended_unix in old)])
        loaded_s = move.first - move.moved
        swaps.append(Swap(move.version, loaded_s, over_s, spans, loading.p99_s, swapping.p99_s, move.pss_mib))
    return swaps


def _first(calls: Sequence[Call], version: str) -> float | None:
    """When the version first answered."""
    return min((call.ended for call in calls if call.version == version), default=None)


def memory_of(service: ServiceUnderTest) -> ReplicaMemory:
    """Memory of the replicas now."""
    sizes = []
    for process in service.find("replica"):
        try:
            sizes.append(process.memory_full_info())
        except psutil.NoSuchProcess:
            continue
    return ReplicaMemory(len(sizes), sum(one.pss for one in sizes) / 2**20, sum(one.uss for one in sizes) / 2**20)


def judge(
    calls: Sequence[Call],
    steady: Window,
    during: Window,
    before: ReplicaMemory,
    after: ReplicaMemory,
    *,
    expected: set[str],
) -> tuple[str, ...]:
    """A sentence for each limit that is broken. steady: before the swaps. expected: the versions that may answer."""
    problems = []
    if not calls or steady.p99_s is None or during.p99_s is None:
        return ("no call was answered",)
    if errors := errors_of(calls):
        problems.append(f"{sum(errors.values()):,} of {len(calls):,} calls failed ({errors})")
    if during.p99_s > max(MOST_SLOWER * steady.p99_s, NOTICED_S):
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
    # PSS: pages of a mapped bundle are shared, and RSS would count them once for each replica.
    elif after.pss > before.pss * (1 + MEMORY_SHARE) + MEMORY_MIB:
        problems.append(
            f"the replicas take {after.pss:,.0f} MiB after the swaps, {before.pss:,.0f} before; at most "
            f"{MEMORY_SHARE:.0%} and {MEMORY_MIB:g} MiB more"
        )
    return tuple(problems)


def _result(
    traffic: Traffic,
    swaps: Sequence[Swap],
    windows: Sequence[Window],
    memory: tuple[ReplicaMemory, ReplicaMemory],
    problems: tuple[str, ...],
) -> DrillResult:
    calls, errors = traffic.calls, errors_of(traffic.calls)
    figures: dict[str, Any] = {
        "calls_per_s": round(traffic.rate, 1),
        "windows": {
            name: asdict(one) for name, one in zip(("before", "during", "whole", "after"), windows, strict=True)
        },
        "swaps": [asdict(swap) for swap in swaps],
        "memory_mib": {name: asdict(one) for name, one in zip(("before", "after"), memory, strict=True)},
        "without_neighbours": sum(Skipped.NEIGHBOUR_SEARCH in call.skipped for call in calls),
    }
    lines = (_window_table(len(swaps), windows), "", _swap_table(swaps), "", _memory_table(memory))
    return DrillResult(
        "swaps", len(calls), sum(errors.values()), errors, figures=figures, lines=lines, problems=problems
    )


def _window_table(swaps: int, windows: Sequence[Window]) -> str:
    names = ("steady before", f"during {swaps} swaps", "the whole time, moves of the alias included", "steady after")
    rows = [
        (name, f"{one.calls:,}", f"{one.failed:,}", milliseconds(one.p50_s), milliseconds(one.p99_s))
        for name, one in zip(names, windows, strict=True)
    ]
    return table(("calls", "sent", "failed", "p50", "p99"), rows, right=range(1, 5))


def _swap_table(swaps: Sequence[Swap]) -> str:
    headers = (
        "swap to version", "first answer of it after", "p99 meanwhile", "last answer of the old one after that",
        "p99 of that second", "PSS",
    )  # fmt: skip
    rows = [
        (
            swap.version, f"{swap.loaded_s:.1f} s", milliseconds(swap.loading_p99_s), f"{swap.swapped_s:.2f} s",
            milliseconds(swap.swapping_p99_s), f"{swap.pss_mib:,.0f} MiB",
        )
        for swap in swaps
    ]  # fmt: skip
    return table(headers, rows, right=range(1, 6))


def _memory_table(memory: tuple[ReplicaMemory, ReplicaMemory]) -> str:
    rows = [
        (name, str(one.processes), f"{one.pss:,.0f} MiB", f"{one.uss:,.0f} MiB")
        for name, one in zip(("before the swaps", "afterwards"), memory, strict=True)
    ]
    return table(("memory of the replicas", "processes", "PSS", "USS"), rows, right=range(1, 4))
