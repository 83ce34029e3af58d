"""Sizes of libraries and playlists, drawn through the quantiles that were published for the real data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Quantiles:
    """A distribution given by its quantiles: sizes at rising shares of the population, log-linear between them."""

    shares: tuple[float, ...]
    sizes: tuple[float, ...]

    def at(self, share: Array) -> Array:
        """Sizes, int64, at shares in [0, 1]."""
        logs = np.interp(share, self.shares, np.log(self.sizes))
        return np.rint(np.exp(logs)).astype(np.int64)

    def draw(self, count: int, *, most: int, rng: np.random.Generator) -> Array:
        """`count` sizes, none above `most`."""
        return np.minimum(self.at(rng.random(count)), most)


# Songs per user of the Taste Profile: min 7, p25 16, median 27, mean 47.57, p75 56, p99 285, max 4,399. The shares
# between are chosen so that the mean is met.
LIBRARY = Quantiles(
    (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0),
    (7, 11, 16, 27, 56, 97, 133, 285, 560, 980, 4_399),
)
# Tracks per playlist of the Million Playlist Dataset: 5 to 376, median 49, mean 66.
PLAYLIST = Quantiles(
    (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.99, 0.9999, 1.0),
    (5, 11, 26, 49, 92, 147, 232, 250, 376),
)
