"""How exposure is spread over playlists: coverage, Gini, novelty, deciles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DECILES = 10


def gini(counts: Array) -> float:
    """Gini coefficient of counts (n,) > 0: 0 all alike, (n - 1) / n one has nearly all. NaN for none."""
    if not counts.size:
        return float("nan")
    ascending = np.sort(counts).astype(np.float64)
    places = np.arange(1, counts.size + 1)
    return float(2 * (places @ ascending) / (counts.size * ascending.sum()) - (counts.size + 1) / counts.size)


def novelty_bits(shown: Array, shares: Array) -> float:
    """Mean over impressions of -log2 of the playlist's share of all impressions, in bits. NaN for none.

    shown (n,): impressions of an arm's playlists; shares (n,) > 0: their shares of the impressions of every arm (Zhou
    and others 2010).
    """
    return float(shown @ -np.log2(shares) / shown.sum()) if shown.size else float("nan")


def deciles(shown: Array) -> Array:
    """int64 (n,): 1 for the tenth of the playlists that was shown least, .., 10 for the tenth shown most.

    Equal counts are divided by their order. Fewer than ten playlists fill fewer deciles.
    """
    order = np.argsort(shown, kind="stable")
    found = np.empty(shown.size, np.int64)
    found[order] = np.arange(shown.size) * DECILES // max(shown.size, 1) + 1
    return found
