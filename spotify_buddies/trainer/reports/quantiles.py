"""The numbers that describe a distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_QUANTILES = {"min": 0.0, "p1": 0.01, "p25": 0.25, "median": 0.5, "p75": 0.75, "p99": 0.99, "max": 1.0}
_DIGITS = 6


def describe(values: Array) -> dict[str, float]:
    """min, p1, p25, median, mean, p75, p99, max; empty for no values."""
    if not values.size:
        return {}
    quantiles = np.quantile(values, list(_QUANTILES.values()))
    return _rounded(dict(zip(_QUANTILES, quantiles, strict=True)) | {"mean": float(np.mean(values, dtype=np.float64))})


def describe_bins(counts: Array, width: float, *, least: float, most: float, mean: float) -> dict[str, float]:
    """The same from a histogram whose bin i holds values from i * width: quantiles are the middles of their bins."""
    if not counts.sum():
        return {}
    ends = np.cumsum(counts)
    inner = {name: share for name, share in _QUANTILES.items() if 0 < share < 1}
    bins = {name: int(np.searchsorted(ends, share * ends[-1])) for name, share in inner.items()}
    middles = {name: (index + 0.5) * width for name, index in bins.items()}
    return _rounded({"min": least, **middles, "mean": mean, "max": most})


def describe_counts(counts: Array) -> dict[str, float]:
    """The same for whole numbers: bin i holds how often i occurs; the last bin also holds what lies above."""
    if not counts.sum():
        return {}
    ends = np.cumsum(counts)
    numbers = {name: float(np.searchsorted(ends, max(share * ends[-1], 1))) for name, share in _QUANTILES.items()}
    mean = float((counts * np.arange(counts.size)).sum() / ends[-1])
    return _rounded(numbers | {"mean": mean})


def gini(values: Array) -> float:
    """Gini coefficient of amounts: 0 all the same, near 1 one has all. 0 for nothing to share."""
    ordered = np.sort(values.astype(np.float64))
    if not ordered.sum():
        return 0.0
    ranks = np.arange(1, ordered.size + 1)
    return round(float((2 * ranks - ordered.size - 1) @ ordered / (ordered.size * ordered.sum())), _DIGITS)


def top_share(values: Array, share: float) -> float:
    """What the largest ceil(share * n) values hold of the sum, 0..1. 0 for nothing to share."""
    total = values.sum()
    if not total:
        return 0.0
    count = int(np.ceil(share * values.size - 1e-9))
    return round(float(np.sort(values)[::-1][:count].sum() / total), _DIGITS)


def lorenz(values: Array, points: int = 200) -> tuple[Array, Array]:
    """Lorenz curve: share of holders, poorest first, and the share that they hold together; both 0..1."""
    held = np.concatenate([[0.0], np.cumsum(np.sort(values.astype(np.float64)))])
    holders = np.unique(np.linspace(0, values.size, points).astype(np.int64))
    return holders / max(values.size, 1), held[holders] / max(held[-1], 1.0)


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {
        name: round(float(numbers[name]), _DIGITS) for name in (*list(_QUANTILES)[:4], "mean", *list(_QUANTILES)[4:])
    }
