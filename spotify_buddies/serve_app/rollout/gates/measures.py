"""What an arm did, as figures that arms can be compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from spotify_buddies.serve_app.rollout.gates.sequential import Likes


@dataclass(frozen=True)
class StepCounts:
    """An arm in one step, all replicas together.

    answers: listeners that it answered. errors: listeners whom it should have answered and could not (production did).
    empty: answered with an empty list. cold: answered without a factor of their own. latencies: calls by edge, as
    quantile_ms takes them; empty where none was counted.
    """

    answers: int = 0
    errors: int = 0
    empty: int = 0
    cold: int = 0
    latencies: tuple[int, ...] = ()

    @property
    def calls(self) -> int:
        """Listeners that it was asked for."""
        return self.answers + self.errors

    def since(self, before: StepCounts) -> StepCounts:
        """Answers and errors since an earlier look; a replica that was forgotten meanwhile takes nothing away."""
        return StepCounts(max(0, self.answers - before.answers), max(0, self.errors - before.errors))


@dataclass(frozen=True)
class ArmFigures:
    """One arm. step: since the step began. recent: the last seconds of it. coverage: distinct playlists it recommended
    in the step, None where not counted. likes: of all listeners who reacted since the canary began.
    """

    step: StepCounts = field(default_factory=StepCounts)
    recent: StepCounts = field(default_factory=StepCounts)
    coverage: int | None = None
    likes: Likes = field(default_factory=Likes)


@dataclass(frozen=True)
class Measures:
    """Both arms of a canary. edges_ms: upper edges of the latency counts, ascending, one fewer than those."""

    canary: ArmFigures
    production: ArmFigures
    edges_ms: tuple[float, ...] = ()


def share(part: int, whole: int) -> float | None:
    """A part of a whole; None of nothing."""
    return part / whole if whole else None


def quantile_ms(latencies: Sequence[int], edges_ms: Sequence[float], quantile: float) -> float | None:
    """A quantile of counted latencies, linear within its bucket; None without calls.

    latencies[i] counts calls above edges_ms[i - 1] and up to edges_ms[i], the last one those above all edges, for which
    the last edge is the answer. ValueError: their numbers do not fit.
    """
    _check(latencies, edges_ms)
    rank = quantile * sum(latencies)
    if rank == 0:
        return None
    below = 0
    for count, lower, upper in zip(latencies, (0.0, *edges_ms), edges_ms, strict=False):
        if count and below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below += count
    return edges_ms[-1]


def slower(latencies: Sequence[int], edges_ms: Sequence[float], limit_ms: float) -> int:
    """Calls that surely took longer than limit_ms: those of the buckets that begin at or above it."""
    _check(latencies, edges_ms)
    return sum(count for count, lower in zip(latencies[1:], edges_ms, strict=True) if lower >= limit_ms)


def _check(latencies: Sequence[int], edges_ms: Sequence[float]) -> None:
    if latencies and len(latencies) != len(edges_ms) + 1:
        raise ValueError(f"{len(latencies)} latency counts for {len(edges_ms)} edges; there is one more than edges")
