"""Triplets that are drawn while training: other negatives in every epoch, and no file of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import derive, generator
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.models.kernels import Pools, Rows, draw_triplets, shuffled
from spotify_buddies.trainer.models.model import TrainingError
from spotify_buddies.trainer.models.order import BLOCK, RUNS, EpochPart, TripletFile, TripletSource, part_of
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Drawn:
    """Each positive `negatives` times a pass, with round(hard_share * negatives) negatives from the hard pool.

    CSR (users, playlists): positives, and at most so many of each pool as the data set keeps (docs/formats.md,
    `8-triplets`). Where one pool is empty all come from the other. A negative is uniform over the kept part, with
    replacement; as the kept part is itself uniform over the pool, so is a negative over the pool, before it is known
    which part was kept. most: triplets of an epoch, as in `part_of`; every pass has other negatives.
    """

    positives: Csr
    hard: Csr
    easy: Csr
    negatives: int
    hard_share: float
    most: int | None = None

    def __post_init__(self) -> None:
        """Check what the kernels rely on. TrainingError when a user has positives and nothing to compare them with."""
        lacking = (self.positives.counts > 0) & (self.hard.counts + self.easy.counts == 0)
        if lacking.any():
            raise TrainingError(
                f"user row {int(np.flatnonzero(lacking)[0])} has positives and no pool of negatives; build the data "
                "set again with `buddies data build`"
            )

    def __len__(self) -> int:
        return self.positives.nnz * self.negatives

    @property
    def from_hard(self) -> int:
        """How many of a positive's negatives come from the hard pool, as in the file."""
        # Halves go up, as in the file; round() takes them to the even number.
        return int(self.negatives * self.hard_share + 0.5)

    def part(self, epoch: int) -> EpochPart:
        """As `part_of`."""
        return part_of(len(self), self.most, epoch)

    def blocks(self, seed: int, epoch: int) -> Iterator[Array]:
        """Runs of a random order of all places, within a run by user."""
        part = self.part(epoch)
        # By pass: its parts have, together, the negatives that the whole pass would have.
        chance = np.uint64(derive(seed, f"negatives of epoch {part.number}"))
        run = min(BLOCK, -(-len(part) // RUNS))
        for places in _places(len(self), part, seed):
            out = np.empty((places.size, 3), np.int32)
            for begin in range(0, places.size, run):
                self._draw(places[begin : begin + run], chance, out[begin : begin + run])
            yield out

    def _draw(self, places: Array, chance: np.uint64, out: Array) -> None:
        places.sort()  # by user, whose factor then stays in the cache; the draw itself depends on the place alone
        pools = Pools(*(Rows(csr.indptr, csr.indices) for csr in (self.positives, self.hard, self.easy)))
        draw_triplets(places, pools, self.negatives, self.from_hard, chance, out)

    def seen(self) -> tuple[Array, Array]:
        """Users with positives; playlists that are a positive or in a pool that can be drawn from."""
        playlists = np.zeros(self.positives.columns, np.bool_)
        for csr in (self.positives, self.hard, self.easy):
            playlists[csr.indices] = True
        return self.positives.counts > 0, playlists


def _places(total: int, part: EpochPart, seed: int) -> Iterator[Array]:
    """A part of the numbers 0..total in a random order, in blocks; int32 if small enough, which sorts faster."""
    kind = np.int32 if total < 1 << 31 else np.int64
    # A true permutation where it fits into one block: the computed one below is not even over few numbers.
    if total <= BLOCK:
        if total:
            order = generator(seed, f"places of epoch {part.number}").permutation(np.arange(total, dtype=kind))
            yield order[part.first : part.last]
        return
    chance = np.uint64(derive(seed, f"places of epoch {part.number}"))
    for first in range(part.first, part.last, BLOCK):
        places = np.empty(min(BLOCK, part.last - first), kind)
        shuffled(first, total, chance, places)
        yield places


def open_source(data: Dataset, settings: TrainSettings, *, toy: bool = False) -> TripletSource:
    """The triplets of a data set, as the settings want them; toy: those of the toy users alone.

    "auto" draws where the data set holds what drawing needs, else it takes the file. TrainingError: the settings ask
    for what the data set does not hold, or for a file with other negatives than it has.
    """
    asked = settings.negatives is not None or settings.hard_share is not None
    stored = data.toy_triplets if toy else data.triplets
    if settings.triplets == "file" and (asked or stored is None):
        reason = "its negatives were drawn when it was built" if asked else "the data set has none"
        raise TrainingError(f'[train] triplets is "file", but {reason}; set it to "drawn" or leave negatives unset')
    by_itself = settings.triplets == "auto" and data.pools is None and not asked
    if stored is not None and (settings.triplets == "file" or by_itself):
        return TripletFile(stored, data.users, data.playlists, settings.epoch_triplets)
    if data.pools is None:
        raise TrainingError(
            f"{data.directory}: no pools to draw negatives from; build the data set again with `buddies data build`"
        )
    pools = data.pools
    return Drawn(
        positives=_of_toys(data, pools.positives) if toy else pools.positives,
        hard=pools.hard,
        easy=pools.easy,
        negatives=settings.negatives or pools.negatives,
        hard_share=pools.hard_share if settings.hard_share is None else settings.hard_share,
        most=settings.epoch_triplets,
    )


def _of_toys(data: Dataset, positives: Csr) -> Csr:
    marked = np.zeros(data.users, np.bool_)
    if data.pools is not None:
        marked[data.pools.toy_users] = True
    return positives.only(marked)
