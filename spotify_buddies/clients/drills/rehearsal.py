"""What a drill of the rollout found: figures, tables for people, and what breaks the limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spotify_buddies.clients.drills.rollout import Rollout


@dataclass(frozen=True)
class Rehearsal:
    """One drill of the rollout.

    requests, failed: calls and those that ended with an error, each sent once, by status in `errors`. figures: JSON
    values. lines: the same for people. problems: what breaks a limit, a sentence each. skipped: why it could not be
    run here.
    """

    name: str
    requests: int = 0
    failed: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Nothing was found wrong. A drill that could not be run here has not passed, nor failed."""
        return not self.problems and not self.skipped

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name, "requests": self.requests, "failed": self.failed, "errors": dict(self.errors),
            "figures": dict(self.figures), "problems": list(self.problems), "skipped": self.skipped,
            "passed": self.passed,
        }  # fmt: skip

    def text(self) -> str:
        """Its tables and its verdict."""
        verdict = f"skipped: {self.skipped}" if self.skipped else "passed" if self.passed else "; ".join(self.problems)
        counted = f"{self.requests:,} calls, {self.failed:,} failed"
        return "\n".join([f"{self.name}: {counted}", *self.lines, f"{self.name}: {verdict}"])


@dataclass(frozen=True)
class Stage:
    """What a drill of the rollout is run on. swaps: how many the drill `swaps` makes; rate: calls a second, None: half
    of what the service answers.
    """

    rollout: Rollout
    user_ids: Sequence[str]
    tastes: Sequence[Any]
    say: Callable[[str], None]
    swaps: int = 20
    rate: float | None = None


@dataclass(frozen=True)
class Act:
    """A drill of the rollout by name. environment: settings of its service; without any it can be the running one."""

    name: str
    about: str
    play: Callable[[Stage], Rehearsal]
    environment: Mapping[str, str] = field(default_factory=dict)


def percentile(values: Iterable[float], percent: float) -> float | None:
    """The smallest value that at least so many percent do not exceed (nearest rank); None of nothing."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1] if ordered else None


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table: the first column to the left, the others to the right."""
    rule = ["---", *("--:" for _ in head[1:])]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]


def milliseconds(seconds: float | None) -> str:
    """A time for people: "12.3 ms", "-" of nothing."""
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
