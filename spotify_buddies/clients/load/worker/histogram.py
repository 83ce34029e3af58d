"""Counts of times in buckets that grow with the value, as HdrHistogram's: bounded memory, a stated error, mergeable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# Below 2 ** _BITS microseconds every value has a bucket of its own; above, a bucket is under 1/1024 of its values wide.
_BITS = 11
_HALF = 1 << (_BITS - 1)

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


class Histogram:
    """Microseconds, whole, from 0 up without a ceiling. Values up to 2,047 are exact, larger ones within 0.1 %."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0
        self.highest = 0
        self._buckets: dict[int, int] = {}

    def add(self, value: int) -> None:
        """Count one value; what is below 0, by a clock's last digit, counts as 0."""
        value = max(value, 0)
        shift = max(value.bit_length() - _BITS, 0)
        # Above shift 0, value >> shift lies in the upper half of 2 ** _BITS: the shifts' buckets follow without a gap.
        bucket = (shift * _HALF) + (value >> shift)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1
        self.total += value
        self.highest = max(self.highest, value)

    def merge(self, other: Histogram) -> None:
        """Count everything that the other one counted."""
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self.count += other.count
        self.total += other.total
        self.highest = max(self.highest, other.highest)

    def percentile(self, percent: float) -> int | None:
        """The smallest value that at least `percent` of all values do not exceed (nearest rank); None of nothing."""
        if self.count == 0:
            return None
        rank, seen = max(1, math.ceil(self.count * percent / 100)), 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(_highest_in(bucket), self.highest)
        return self.highest

    def at_least(self, value: int) -> int:
        """How many values were as large as this or larger; a bucket that holds it counts whole."""
        return sum(count for bucket, count in self._buckets.items() if _highest_in(bucket) >= value)

    def mean(self) -> float | None:
        """The exact mean; None of nothing."""
        return self.total / self.count if self.count else None

    def to_json(self) -> dict[str, Any]:
        """The form that from_json reads."""
        return {"total": self.total, "highest": self.highest, "buckets": sorted(self._buckets.items())}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Histogram:
        """Read what to_json wrote."""
        made = cls()
        made._buckets = {int(bucket): int(count) for bucket, count in body["buckets"]}
        made.count = sum(made._buckets.values())
        made.total, made.highest = int(body["total"]), int(body["highest"])
        return made

    def summary_ms(self) -> dict[str, float | None]:
        """p50, p90, p99, p99.9, max and mean in milliseconds; null of nothing."""
        values: dict[str, float | None] = {f"p{percent:g}": self.percentile(percent) for percent in PERCENTILES}
        values |= {"max": self.highest if self.count else None, "mean": self.mean()}
        return {name: None if value is None else round(value / 1000, 3) for name, value in values.items()}


def _highest_in(bucket: int) -> int:
    shift = max(bucket // _HALF - 1, 0)
    return ((bucket - shift * _HALF + 1) << shift) - 1
