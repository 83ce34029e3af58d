"""The playlists nearest to a factor, while a request waits: exact, or with the bundle's index where there are many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.bundle.nearest_index import NearestIndex, used_dimensions

Array = npt.NDArray[Any]

# Numbers that are looked at on the event loop, where other calls wait: a tenth of a millisecond.
CHEAP = 250_000
# What a search with an index looks at about, in such numbers.
_INDEXED = 1_000_000


@dataclass(frozen=True)
class Retrieval:
    """factors float32 (playlists, e): those of the dimensions that count; scale float32 (d,); used int64 (e,)."""

    factors: Array
    scale: Array
    used: Array
    index: NearestIndex | None

    @classmethod
    def of(cls, bundle: Bundle) -> Retrieval | None:
        """Prepare for a bundle; None where it does not say how to look. BundleError: its index is of another bundle."""
        if bundle.retrieval_scale is None or not (used := used_dimensions(bundle.retrieval_scale)).size:
            return None
        factors = bundle.playlist_factors
        index = NearestIndex.open(bundle.directory, len(factors), used.size)
        # A copy only where dimensions are left out of few playlists: the factors themselves are shared by replicas.
        kept = factors if used.size == factors.shape[1] or index is not None else np.ascontiguousarray(factors[:, used])
        return cls(kept, bundle.retrieval_scale, used, index)

    def __call__(self, vectors: Array, k: int) -> Array:
        """The k playlists nearest to each of vectors (n, d), int32 (n, k), best first, -1 padded.

        None for a vector of zeros, to which all are equally near, or that is not finite.
        """
        asked = np.ascontiguousarray((vectors * self.scale)[:, self.used], np.float32)
        some = np.isfinite(asked).all(axis=1) & asked.any(axis=1)
        found = np.full((len(asked), k), -1, np.int32)
        if some.all():
            self._search(asked, found)
        elif some.any():
            part = found[some]
            self._search(asked[some], part)
            found[some] = part
        return found

    def is_cheap(self, vectors: int) -> bool:
        """Whether so many take too little time to be worth a thread."""
        return vectors * (self.factors.size if self.index is None else _INDEXED) <= CHEAP

    def _search(self, asked: Array, found: Array) -> None:
        if self.index is None:
            kernels.nearest(asked, self.factors, found)
        else:
            width = min(found.shape[1], self.index.size)
            found[:, :width] = self.index.search(asked, width)
