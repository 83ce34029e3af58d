"""Latencies of two arms, compared for calls of like sizes.

A call with users of both arms is split between them, so a canary of 5 % ranks 25 users where production ranks 475, and
a plain comparison of their latencies says how large the parts were. Production's calls are therefore weighted by size
class so that they have the canary's sizes (direct standardisation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spotify_buddies.serve_app.rollout.gates.measures import by_size, quantile_ms, slower

QUANTILE = 0.99


@dataclass(frozen=True)
class SizedLatencies:
    """calls: all of the canary. comparable: those of a size that production has enough calls of; latencies: of these,
    by edge. canary_ms, production_ms: their p99 and that of production's calls of the same sizes; None without any.
    """

    calls: int
    comparable: int
    latencies: tuple[int, ...]
    edges_ms: tuple[float, ...]
    canary_ms: float | None
    production_ms: float | None

    def slower(self, limit_ms: float) -> int:
        """Comparable calls that surely took longer than the limit."""
        return slower(self.latencies, self.edges_ms, limit_ms)


def compare_sizes(
    canary: Sequence[int], production: Sequence[int], edges_ms: Sequence[float], enough: int
) -> SizedLatencies:
    """Compare counts by size class and edge (see StepCounts).

    A class in which production has fewer than `enough` calls takes the next larger ones in, until there are enough:
    more users take no less time, so an equal canary is not called slower for that. Calls of the canary that are larger
    than enough of production's are left out.
    """
    mine, theirs = by_size(canary, edges_ms), by_size(production, edges_ms)
    latencies = [0] * (len(edges_ms) + 1)
    expected = [0.0] * (len(edges_ms) + 1)
    for size, counts in enumerate(mine):
        calls = sum(counts)
        reference = _reference(theirs[size:], enough) if calls else None
        if reference is None:
            continue
        weight = calls / sum(reference)
        latencies = [total + count for total, count in zip(latencies, counts, strict=True)]
        expected = [total + weight * count for total, count in zip(expected, reference, strict=True)]
    comparable = sum(latencies)
    return SizedLatencies(
        sum(canary), comparable, tuple(latencies), tuple(edges_ms),
        quantile_ms(latencies, edges_ms, QUANTILE), quantile_ms(expected, edges_ms, QUANTILE) if comparable else None,
    )  # fmt: skip


def _reference(classes: Sequence[Sequence[int]], enough: int) -> list[int] | None:
    """The calls of the first classes that are enough together, by edge; None where all are not."""
    for last in range(1, len(classes) + 1):
        if sum(map(sum, classes[:last])) >= enough:
            return [sum(counts) for counts in zip(*classes[:last], strict=True)]
    return None
