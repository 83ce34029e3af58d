"""Metrics of ranked lists over all playlists: what of the wanted is in them, and what they show of the catalogue."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.metrics.kernels import count_shared
from spotify_buddies.trainer.reports.quantiles import gini

Array = npt.NDArray[Any]

DECILES = 10


def places(lists: Array, wanted: Csr) -> Array:
    """The place of every wanted playlist in its row's list, from 1; 0: it is not there. int64 (wanted.nnz,).

    lists: int32 (n, length), best first, -1 where nothing is. wanted (n, playlists).
    """
    asked = lists[rows_of(wanted)] == np.asarray(wanted.indices)[:, None]
    found: Array = np.where(asked.any(axis=1), asked.argmax(axis=1) + 1, 0) if lists.shape[1] else _zeros(wanted)
    return found


def depths(offered: Csr, wanted: Csr) -> Array:
    """As `places`, in rows of any length. offered (n, playlists), best first, no playlist twice in a row."""
    keys = rows_of(offered) * offered.columns + offered.indices
    order = np.argsort(keys, kind="stable")
    asked = rows_of(wanted) * offered.columns + wanted.indices
    if not keys.size:
        return _zeros(wanted)
    at = order[np.minimum(np.searchsorted(keys, asked, sorter=order), keys.size - 1)]
    found: Array = np.where(keys[at] == asked, at - np.asarray(offered.indptr)[rows_of(wanted)] + 1, 0)
    return found


def rows_of(rows: Csr) -> Array:
    """The row of every entry, int64 (nnz,)."""
    return np.repeat(np.arange(rows.rows, dtype=np.int64), rows.counts)


def hits(found: Array, wanted: Csr, k: int) -> Array:
    """Whether any wanted playlist of a row is among its first k, 0 or 1, float64 (rows,)."""
    inside = (found > 0) & (found <= k)
    any_inside: Array = np.minimum(np.bincount(rows_of(wanted), weights=inside, minlength=wanted.rows), 1.0)
    return any_inside


def ndcg(found: Array, wanted: Csr, k: int) -> Array:
    """Normalised discounted cumulative gain at k, 0 to 1, float64 (rows,); 0 for a row that wants nothing.

    Every wanted playlist gains 1 / log2(1 + place) up to place k; divided by the gain of the best list there could be
    (Jarvelin and Kekalainen 2002).
    """
    inside = (found > 0) & (found <= k)
    gains = np.where(inside, 1.0 / np.log2(1.0 + np.maximum(found, 1)), 0.0)
    best = np.concatenate([np.zeros(1), np.cumsum(1.0 / np.log2(2.0 + np.arange(k)))])[np.minimum(wanted.counts, k)]
    sums = np.bincount(rows_of(wanted), weights=gains, minlength=wanted.rows)
    shares: Array = np.divide(sums, best, out=np.zeros(wanted.rows), where=best > 0)
    return shares


def shown(lists: Array, playlists: int) -> Array:
    """How often each playlist is in the lists, int64 (playlists,)."""
    return np.bincount(lists[lists >= 0], minlength=playlists)


def coverage(exposure: Array) -> float:
    """Share of the playlists that are shown at all, 0 to 1; 0 without playlists."""
    return float(np.mean(exposure > 0)) if exposure.size else 0.0


def inequality(exposure: Array) -> float:
    """Gini coefficient of how often playlists are shown, those never shown included; near 1: a few get it all."""
    return float(gini(exposure))


def same_owner(lists: Array, owner: Array) -> Array:
    """Share of each list's filled places whose owner has a better place already, float64 (n,). owner: -1 for nobody."""
    owners = np.where(lists >= 0, owner[lists], -1)
    again = np.zeros(lists.shape, np.bool_)
    for later in range(1, lists.shape[1]):
        again[:, later] = ((owners[:, :later] == owners[:, later, None]) & (owners[:, later, None] >= 0)).any(axis=1)
    return _share(again, lists)


def near_duplicates(lists: Array, songs: Csr, least: float) -> Array:
    """Share of each list's filled places that have at least `least` of their songs in common with a better place.

    Songs in common by Jaccard: both have them, out of those that either has. songs (playlists, songs), ascending.
    float64 (n,).
    """
    again = np.zeros(lists.shape, np.bool_)
    sizes = songs.counts
    for later in range(1, lists.shape[1]):
        for better in range(later):
            both = (lists[:, later] >= 0) & (lists[:, better] >= 0)
            left, right = (np.ascontiguousarray(lists[both, place], np.int32) for place in (better, later))
            common = np.empty(left.size, np.int32)
            count_shared(songs.indptr, songs.indices, songs.indptr, songs.indices, left, right, common)
            either = sizes[left] + sizes[right] - common
            again[both, later] |= common >= least * np.maximum(either, 1)
    return _share(again, lists)


def deciles(amounts: Array) -> Array:
    """The tenth that each amount falls into, 0 (smallest) to 9, int64; equal amounts fall into one, by mid-rank."""
    ordered = np.sort(amounts)
    lower, until = (np.searchsorted(ordered, amounts, side=side) for side in ("left", "right"))
    tenths: Array = np.minimum(((lower + until) * DECILES) // max(2 * amounts.size, 1), DECILES - 1)
    return tenths


def _share(marked: Array, lists: Array) -> Array:
    filled = (lists >= 0).sum(axis=1)
    shares: Array = np.divide(marked.sum(axis=1), filled, out=np.zeros(len(lists)), where=filled > 0)
    return shares


def _zeros(wanted: Csr) -> Array:
    return np.zeros(wanted.nnz, np.int64)
