"""Figures of the two arms of a canary, in the form that the gates compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from spotify_buddies.serve_app.rollout.gates.listeners import Split
from spotify_buddies.serve_app.rollout.gates.preference import Credits
from spotify_buddies.serve_app.rollout.gates.sequential import LikeRates


@dataclass(frozen=True)
class StepCounts:
    """An arm in one step, all replicas together.

    answers: users that it answered. errors: users whom it should have answered and could not (production did). empty:
    answered with an empty list. cold: answered without a factor of their own. latencies: calls by edge as quantile_ms
    takes them, a row per size class, one after another; empty where none was counted. asked_squares, answered_squares:
    sums over calls of the squared numbers of users asked for and answered; None: each user came in a call of their own.
    """

    answers: int = 0
    errors: int = 0
    empty: int = 0
    cold: int = 0
    latencies: tuple[int, ...] = ()
    asked_squares: int | None = None
    answered_squares: int | None = None

    @property
    def asked(self) -> int:
        """Users that it was asked for."""
        return self.answers + self.errors

    @property
    def asked_calls(self) -> float:
        """Independent calls that the asked users are worth."""
        return independent_calls(self.asked, self.asked_squares)

    @property
    def answered_calls(self) -> float:
        """Independent calls that the answered users are worth."""
        return independent_calls(self.answers, self.answered_squares)

    def since(self, before: StepCounts) -> StepCounts:
        """Answers and errors since an earlier look; a replica that was forgotten meanwhile takes nothing away."""
        answers, errors = max(0, self.answers - before.answers), max(0, self.errors - before.errors)
        if self.asked_squares is None:
            return StepCounts(answers, errors)
        known = before.asked if before.asked_squares is None else before.asked_squares
        return StepCounts(answers, errors, asked_squares=max(0, self.asked_squares - known))


@dataclass(frozen=True)
class ArmFigures:
    """One arm. step: since the step began. recent: the last seconds of it. coverage: distinct playlists it recommended
    in the step, None where not counted.
    """

    step: StepCounts = field(default_factory=StepCounts)
    recent: StepCounts = field(default_factory=StepCounts)
    coverage: int | None = None


@dataclass(frozen=True)
class Measures:
    """Both arms of a canary. edges_ms: upper edges of the latency counts, ascending, one fewer than those of a size
    class. likes: of all users who reacted since the canary began. split: listeners of the step. credited: likes of
    drafted lists since the canary began.
    """

    canary: ArmFigures
    production: ArmFigures
    edges_ms: tuple[float, ...] = ()
    likes: LikeRates = field(default_factory=LikeRates)
    split: Split = field(default_factory=Split)
    credited: Credits = field(default_factory=Credits)


def independent_calls(users: int, squares: int | None) -> float:
    """How many independent observations the users of calls are worth; 0 without users.

    Kish's effective number, (sum n)^2 / sum n^2 over calls of n users ("Survey Sampling", 1965): the variance of a
    share of users is then at most p (1 - p) over it, even where the users of a call all do the same. It is the number
    of calls where they are of one size, and never more than that.
    """
    if users == 0:
        return 0.0
    # Counts of a call that is being counted, or a replica that was forgotten: the squares are never below the users.
    return users * users / max(users, users if squares is None else squares)


def share(part: int, whole: int) -> float | None:
    """A part of a whole; None of nothing."""
    return part / whole if whole else None


def by_size(latencies: Sequence[int], edges_ms: Sequence[float]) -> list[Sequence[int]]:
    """Counted latencies by size class, smallest first; empty where none was counted.

    ValueError: they are not a whole number of classes.
    """
    wide = len(edges_ms) + 1
    if len(latencies) % wide:
        raise ValueError(f"{len(latencies)} latency counts for {len(edges_ms)} edges; a class has one more than edges")
    return [latencies[first : first + wide] for first in range(0, len(latencies), wide)]


def quantile_ms(latencies: Sequence[float], edges_ms: Sequence[float], quantile: float) -> float | None:
    """A quantile of counted latencies, linear within its bucket; None without calls.

    latencies[i] counts calls above edges_ms[i - 1] and up to edges_ms[i], the last one those above all edges, for which
    the last edge is the answer. ValueError: their numbers do not fit.
    """
    _check(latencies, edges_ms)
    rank = quantile * sum(latencies)
    if rank == 0:
        return None
    below = 0.0
    for count, lower, upper in zip(latencies, (0.0, *edges_ms), edges_ms, strict=False):
        if count and below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below += count
    return edges_ms[-1]


def slower(latencies: Sequence[int], edges_ms: Sequence[float], limit_ms: float) -> int:
    """Calls that surely took longer than limit_ms: those of the buckets that begin at or above it."""
    _check(latencies, edges_ms)
    return sum(count for count, lower in zip(latencies[1:], edges_ms, strict=True) if lower >= limit_ms)


def _check(latencies: Sequence[float], edges_ms: Sequence[float]) -> None:
    if latencies and len(latencies) != len(edges_ms) + 1:
        raise ValueError(f"{len(latencies)} latency counts for {len(edges_ms)} edges; there is one more than edges")
