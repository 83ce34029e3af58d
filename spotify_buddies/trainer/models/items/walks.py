"""Random walks of three steps: user, playlist, user, playlist (RP3beta: Paudel et al., TiiS 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.items.item_model import Weighted, in_blocks

Array = npt.NDArray[Any]

ALPHA, BETA, KEEP = 0.4, 0.25, 1_000


def fit_walks(interactions: Csr, *, alpha: float = ALPHA, beta: float = BETA, keep: int = KEEP) -> Weighted:
    """weights[q, p] = sum over users of (1 / |q|)^alpha * (1 / |u|)^alpha / |p|^beta, |.| being counts of interactions.

    alpha: power of the probability of a step; beta: what popular playlists lose. Of a playlist's weights the `keep`
    largest stay (ties: the lower row). The diagonal is 0; a playlist without interactions has no weights.
    """
    rows = interactions.to_scipy()
    back = 1 / np.maximum(interactions.counts, 1).astype(np.float64) ** alpha
    counts = np.maximum(interactions.column_counts(), 1).astype(np.float64)
    out = sp.csr_array(sp.diags_array(back) @ rows)
    away = sp.csr_array(sp.diags_array(counts**-alpha) @ rows.T)
    pieces = []
    for playlists in in_blocks(np.arange(interactions.columns)):
        block = np.asarray((away[playlists] @ out).toarray() / counts**beta, np.float32)
        block[np.arange(playlists.size), playlists] = 0
        pieces.append(sp.csr_array(largest(block, keep)))
    return Weighted(interactions, stacked(pieces))


def largest(block: Array, keep: int) -> Array:
    """A copy with all but the `keep` largest entries of each row at 0; of equal ones the first stay."""
    if keep >= block.shape[1]:
        return block
    order = np.argsort(-block, axis=1, kind="stable")[:, keep:]
    kept = block.copy()
    np.put_along_axis(kept, order, np.float32(0), axis=1)
    return kept


def stacked(pieces: list[sp.csr_array]) -> sp.csr_array:
    """Blocks of rows as one matrix; (0, 0) of none."""
    if not pieces:
        return sp.csr_array(np.empty((0, 0), np.float32))
    return sp.csr_array(sp.vstack(pieces, format="csr"))
