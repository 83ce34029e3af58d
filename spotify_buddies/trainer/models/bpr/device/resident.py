"""The data of a source of triplets in the memory of a device, which assembles an epoch's triplets itself."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.drawn import Drawn
from spotify_buddies.trainer.models.order import BLOCK, TripletFile, TripletSource

Array = npt.NDArray[Any]


class Resident(Protocol):
    """Triplets by place."""

    def triplets(self, places: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        """The triplets at these places of an epoch, int32 (n, 3); what is drawn comes from chance."""


def resident(source: TripletSource, device: torch.device) -> Resident | None:
    """The source's data, copied to the device; None for a source that has to be read block by block.

    TrainingError: a row of a stored triplet is out of range.
    """
    if isinstance(source, Drawn):
        return ResidentPools(source, device)
    return ResidentRows(source, device) if isinstance(source, TripletFile) else None


class ResidentRows:
    """All rows of a file."""

    def __init__(self, source: TripletFile, device: torch.device) -> None:
        limits = torch.tensor([source.users, source.playlists, source.playlists], device=device)
        self._rows = torch.empty((len(source), 3), dtype=torch.int32, device=device)
        for begin in range(0, len(source), BLOCK):
            block = torch.from_numpy(np.array(source.triplets[begin : begin + BLOCK], np.int32)).to(device)
            wrong = ((block < 0) | (block >= limits)).any(1).nonzero()
            if len(wrong):
                raise source.outside(begin + int(wrong[0]))
            self._rows[begin : begin + len(block)] = block

    def triplets(self, places: torch.Tensor, chance: torch.Generator) -> torch.Tensor:  # noqa: ARG002
        """Nothing is drawn."""
        return self._rows.index_select(0, places)


class ResidentPools:
    """Positives with their users, and both pools in one array, the hard one first."""

    def __init__(self, source: Drawn, device: torch.device) -> None:
        self._negatives, self._from_hard = source.negatives, source.from_hard
        users = np.repeat(np.arange(source.positives.rows, dtype=np.int32), source.positives.counts)
        self._users, self._positives = _copy(users, device), _copy(source.positives.indices, device)
        self._pool = _copy(np.concatenate([source.hard.indices, source.easy.indices]), device)
        self._hard_first, self._hard_size = _spans(source.hard, 0, device)
        self._easy_first, self._easy_size = _spans(source.easy, source.hard.nnz, device)

    def triplets(self, places: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        """As `kernels.draw_triplets`, with the device's random numbers."""
        positive = torch.div(places, self._negatives, rounding_mode="floor")
        users = self._users.index_select(0, positive)
        hards, easies = self._hard_size.index_select(0, users), self._easy_size.index_select(0, users)
        hard = (easies == 0) | ((hards > 0) & (places - positive * self._negatives < self._from_hard))
        first = torch.where(hard, self._hard_first.index_select(0, users), self._easy_first.index_select(0, users))
        size = torch.where(hard, hards, easies)
        drawn = torch.rand(len(places), generator=chance, device=places.device)
        offset = torch.minimum((drawn * size).int(), size - 1)  # a product can round up to the size
        negatives = self._pool.index_select(0, first + offset)
        return torch.stack([users, self._positives.index_select(0, positive), negatives], 1)


def _copy(array: Array, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.array(array)).to(device)


def _spans(pool: Csr, offset: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each user's part of the pools begins, int64, and how many it holds, int32."""
    return _copy(pool.indptr[:-1] + offset, device), _copy(pool.counts.astype(np.int32), device)
