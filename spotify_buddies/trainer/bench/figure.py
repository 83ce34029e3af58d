"""The result of one measurement."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from spotify_buddies.foundation.stages.usage import peak_rss_mib

OURS = "buddies"
# Work that takes less is repeated, and the median counts.
_SHORT_S = 20.0
_REPEATS = 3


@dataclass(frozen=True)
class Figure:
    """One line of the table. work: what was done; by: OURS or the peer's name.

    amount of `unit` in `seconds`, the median of `repeats`; cpu_seconds in the same way, None where it was not measured.
    peak_rss_mib: the most memory of the process that did it. facts: further numbers, by name.
    """

    work: str
    by: str
    amount: float
    unit: str
    seconds: float
    cpu_seconds: float | None
    peak_rss_mib: float
    repeats: int = 1
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Unit per second; 0 for work that took no time."""
        return self.amount / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self)

    def with_facts(self, **facts: object) -> Figure:
        """The same with further facts."""
        return replace(self, facts={**self.facts, **facts})


def timed(work: str, by: str, amount: float, unit: str, do: Callable[[], object], *, once: bool = False) -> Figure:
    """Do it, three times where it is short unless `once`, and say what it cost.

    Warm up before: compiling is not the work.
    """
    seconds: list[float] = []
    processor: list[float] = []
    while not seconds or (not once and len(seconds) < _REPEATS and seconds[0] < _SHORT_S):
        started, worked = time.monotonic(), time.process_time()
        do()
        seconds.append(time.monotonic() - started)
        processor.append(time.process_time() - worked)
    return Figure(
        work=work,
        by=by,
        amount=amount,
        unit=unit,
        seconds=round(statistics.median(seconds), 4),
        cpu_seconds=round(statistics.median(processor), 4),
        peak_rss_mib=round(peak_rss_mib(), 1),
        repeats=len(seconds),
    )
