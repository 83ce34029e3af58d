"""The hybrid model where labels are real: many short steps an epoch, and less weight on taste.

Simulated likes come by the million, and one step of Adam for millions of triplets is cheap and enough. Real follows are
few: an epoch of them would be a single step, and training would stop after a handful of steps that learned nothing.
Simulated likes are made of shared songs, which is what the taste sees; what people really follow depends less on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.trainer.dataset.table import SIMULATED
from spotify_buddies.trainer.models.order import BLOCK, EpochPart, TripletSource
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]

# An epoch has so many steps, unless a step would then have fewer triplets than LEAST or more than hybrid_batch.
STEPS = 16
LEAST = 4_096
# On AttList: NDCG@10 0.097 with 5, 0.082 with 20, the default for simulated likes.
TASTE_WEIGHT = 5.0
# What these figures were measured with.
ARTIST_WEIGHT = 0.25


@dataclass(frozen=True)
class Paced:
    """The triplets of a source, each of its blocks in a random order and cut into pieces of about `rows`."""

    source: TripletSource
    rows: int

    def __len__(self) -> int:
        return len(self.source)

    def part(self, epoch: int) -> EpochPart:
        """As the source's."""
        return self.source.part(epoch)

    def blocks(self, seed: int, epoch: int) -> Iterator[Array]:
        """The pieces; the source's blocks are by user in runs, of which a piece must not hold some users alone."""
        for number, block in enumerate(self.source.blocks(seed, epoch)):
            order = generator(seed, f"steps of epoch {epoch}, block {number}").permutation(len(block))
            yield from np.array_split(block[order], max(1, round(len(block) / self.rows)))

    def seen(self) -> tuple[Array, Array]:
        """As the source's."""
        return self.source.seen()


def suited(settings: TrainSettings, labels: str) -> TrainSettings:
    """The settings with what real labels ask for in the place of a default; the same for simulated ones.

    Nothing that was set by hand changes but `lower_hubs`: the blend knows no dimension of hubs, and standardises the
    scores of taste and likes itself. A second call changes nothing.
    """
    if labels == SIMULATED:
        return settings
    defaults = {"taste_weight": TASTE_WEIGHT, "taste_artist_weight": ARTIST_WEIGHT}
    changed = {name: value for name, value in defaults.items() if name not in settings.model_fields_set}
    return settings.model_copy(update={**changed, "lower_hubs": False})


def paced(source: TripletSource, settings: TrainSettings) -> tuple[TripletSource, TrainSettings]:
    """The source, and settings whose hybrid_batch fits it, for real labels; both unchanged for another model."""
    rows = min(max(LEAST, -(-len(source.part(1)) // STEPS)), settings.hybrid_batch)
    if settings.model != "hybrid" or rows >= BLOCK:
        return source, settings
    # Half, since a piece may be a little shorter than `rows`, and two of them must not make one step.
    return Paced(source, rows), settings.model_copy(update={"hybrid_batch": max(rows // 2, 1)})
