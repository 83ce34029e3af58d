"""How far two distributions over the same bins are apart. The last axis is the bins; leading axes broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Added to every count, so that an empty bin has a logarithm (Jeffreys' prior for a multinomial).
PRIOR = 0.5
# Bins with fewer expected entries than this are put together (Cochran 1954).
LEAST_EXPECTED = 5.0


def shares(counts: Array) -> Array:
    """Counts (.., bins) as shares that add up to 1, each above 0; equal shares where nothing was counted."""
    raised = np.asarray(counts, np.float64) + PRIOR
    parts: Array = raised / raised.sum(axis=-1, keepdims=True)
    return parts


def psi(counts: Array, reference: Array) -> Array:
    """Population stability index of counts against reference counts, (.., bins) each; shape (..).

    Sum over bins of (p - q) ln(p / q), with shares smoothed by `PRIOR`: 0 for equal shares, symmetric, no unit. For two
    samples of N and M from one distribution it is near (1/N + 1/M) times a chi-square with bins - 1 degrees of freedom
    (Yurdakul and Naranjo 2020, Journal of Risk Model Validation 14(4)); so a fixed limit such as 0.25 means something
    else for every sample size.
    """
    p, q = shares(counts), shares(reference)
    distance: Array = ((p - q) * np.log(p / q)).sum(axis=-1)
    return distance


def chi_square(counts: Array, reference: Array) -> tuple[float, int, float]:
    """Pearson's two-sample chi-square of counts and reference counts, (bins,) each: statistic, degrees, p-value.

    Bins that are empty in both are left out. (0, 0, 1) where a side is empty or one bin is left. The p-value takes each
    entry for independent, which lists of one user are not: it is shown, and decides nothing.
    """
    from scipy.stats import chi2_contingency

    table = np.stack([np.asarray(counts, np.float64), np.asarray(reference, np.float64)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 0.0, 0, 1.0
    found = chi2_contingency(table, correction=False)
    return float(found.statistic), int(found.dof), float(found.pvalue)


def merged(expected: Array, least: float = LEAST_EXPECTED) -> Array:
    """The new bin of each bin, int (bins,), after the rare ones are put together; numbers ascend in the order of bins.

    expected (bins,): entries in the smallest of the samples that are compared. Bins below `least` share the last new
    bin; if that one is rare still, the smallest other bin joins it. At least one bin stays.
    """
    expected = np.asarray(expected, np.float64)
    rare = expected < least
    if rare.any() and expected[rare].sum() < least and not rare.all():
        common = np.flatnonzero(~rare)
        rare[common[np.argmin(expected[common])]] = True
    places = np.cumsum(~rare) - 1
    return np.where(rare, int((~rare).sum()), places).astype(np.int64)


def regrouped(counts: Array, places: Array) -> Array:
    """Counts (.., bins) summed into the new bins that `merged` gave; shape (.., new bins)."""
    groups = int(places.max()) + 1 if places.size else 0
    into = np.zeros((places.size, groups))
    into[np.arange(places.size), places] = 1.0
    return np.asarray(counts, np.float64) @ into
