"""Neighbours of playlists by who follows them: ItemKNN with a shrunk cosine."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.items.item_model import Weighted, in_blocks
from spotify_buddies.trainer.models.items.walks import largest, stacked

NEAREST, SHRINK = 200, 10.0


def fit_knn(interactions: Csr, *, nearest: int = NEAREST, shrink: float = SHRINK) -> Weighted:
    """weights[q, p] = |q and p| / (sqrt(|q| |p|) + shrink), of each q the `nearest` largest; the diagonal is 0."""
    rows = interactions.to_scipy()
    lengths = np.sqrt(interactions.column_counts().astype(np.float32))
    flipped = sp.csr_array(rows.T)
    pieces = []
    for playlists in in_blocks(np.arange(interactions.columns)):
        both = np.asarray((flipped[playlists] @ rows).toarray(), np.float32)
        scale = lengths[playlists][:, None] * lengths + np.float32(shrink)
        block = np.divide(both, scale, out=np.zeros_like(both), where=scale > 0)
        block[np.arange(playlists.size), playlists] = 0
        pieces.append(sp.csr_array(largest(block, nearest)))
    return Weighted(interactions, stacked(pieces))
