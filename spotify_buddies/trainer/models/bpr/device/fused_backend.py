"""BPR by torch without autograd: all data on the device, negatives drawn there, and the steps written out.

The mathematics are those of `trainer.models.bpr.kernels.update`, a batch at a time: all gradients of a batch are taken
at the values before it, a row's sum of squares takes in all of the batch's, and the row moves by the sum of its
gradients. With rows that occur once in a batch the numbers are that kernel's. On a CUDA device with Triton one kernel
does it all, see `trainer.models.bpr.device.kernels`. Everything is float32: that kernel keeps a triplet in registers
and waits for memory, where the factors have to be float32 anyway, so that bfloat16 products would save nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import numpy.typing as npt
import torch

from spotify_buddies.foundation.arrays.seeds import derive
from spotify_buddies.trainer.models.bpr.device.resident import Resident, resident
from spotify_buddies.trainer.models.bpr.numba_backend import START_SQUARES
from spotify_buddies.trainer.models.fixed_order import in_a_fixed_order
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.order import BLOCK, TripletSource, visit
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]

# A batch holds no more than this share of an epoch: on little data, large batches learn too slowly.
LEAST_BATCHES = 100


class FusedBackend:
    """Row-wise Adagrad on a device. Reproducible on a CPU, and on a CUDA device with `deterministic`."""

    def __init__(self, settings: TrainSettings, rate: float, decay: float, state: Mapping[str, Array]) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._rate, self._decay, self._most = rate, decay, settings.fused_batch
        self._deterministic = settings.deterministic
        self._users, self._playlists = (self._copy(state[f"{kind}_factors"]) for kind in ("user", "playlist"))
        self._user_squares, self._playlist_squares = (
            self._copy(state[f"{kind}_squares"])
            if f"{kind}_squares" in state
            else torch.full((len(table),), START_SQUARES, device=self._device)
            for kind, table in (("user", self._users), ("playlist", self._playlists))
        )
        self._resident: tuple[TripletSource, Resident] | None = None

    def step(self, triplets: Array) -> float:
        """Learn from a block in its order, int32 (n, 3), as one batch where that is not too large."""
        return self._learn(torch.from_numpy(triplets).to(self._device), len(triplets))

    def epoch(self, source: TripletSource, seed: int, number: int) -> Iterator[tuple[float, int]]:
        """Random order and negatives come from the device's generator, at most BLOCK triplets at once."""
        data = self._hold(source)
        if data is None:
            yield from visit(self.step, source.blocks(seed, number))
            return
        part, total = source.part(number), len(source)
        chance = self._chance(seed, f"epoch {part.number} on a device")
        kind = torch.int32 if total < 1 << 31 else torch.int64
        order = torch.randperm(total, generator=chance, device=self._device, dtype=kind)[part.first : part.last]
        if len(part) < total:  # the parts of a pass have its order, and negatives of their own
            chance = self._chance(seed, f"negatives of epoch {number} on a device")
        for places in torch.split(order, BLOCK):
            yield self._learn(data.triplets(places, chance), max(1, len(part) // LEAST_BATCHES)), len(places)

    def model(self) -> Model:
        """The factors, copied from the device."""
        return Model(self._users.cpu().numpy(), self._playlists.cpu().numpy())

    def state(self) -> dict[str, Array]:
        """Factors and Adagrad's sums, as the numba backend has them."""
        return {
            "user_factors": self._users.cpu().numpy(),
            "playlist_factors": self._playlists.cpu().numpy(),
            "user_squares": self._user_squares.cpu().numpy(),
            "playlist_squares": self._playlist_squares.cpu().numpy(),
        }

    def _chance(self, seed: int, purpose: str) -> torch.Generator:
        return torch.Generator(self._device).manual_seed(derive(seed, purpose) >> 1)

    def _copy(self, array: Array) -> torch.Tensor:
        return torch.tensor(array, device=self._device)

    def _hold(self, source: TripletSource) -> Resident | None:
        """The source's data on the device, brought there once."""
        if self._resident is None or self._resident[0] is not source:
            data = resident(source, self._device)
            if data is None:
                return None
            self._resident = source, data
        return self._resident[1]

    def _learn(self, triplets: torch.Tensor, batch: int) -> float:
        """Step through triplets (n, 3) on the device, at most `batch` of them together; the summed loss."""
        tables = self._users, self._playlists, self._user_squares, self._playlist_squares
        if self._device.type == "cuda" and not self._deterministic and find_spec("triton") is not None:
            from spotify_buddies.trainer.models.bpr.device.kernels import update

            return float(update(triplets, *tables, self._rate, self._decay, batch=max(1, batch)))
        # Summed on the device and in doubles: reading each loss would wait for the device at every batch.
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        with in_a_fixed_order(self._deterministic):
            # Without Triton the intermediate rows of a batch are in memory: fused_batch bounds them.
            for part in torch.split(triplets, max(1, min(batch, self._most))):
                total += step(part, *tables, self._rate, self._decay)
        return float(total)


def step(
    triplets: torch.Tensor,
    users: torch.Tensor,
    playlists: torch.Tensor,
    user_squares: torch.Tensor,
    playlist_squares: torch.Tensor,
    rate: float,
    decay: float,
) -> torch.Tensor:
    """One step for all of the triplets (n, 3) together, in place; the summed loss, float64. See `kernels.update`."""
    u, p, n = triplets.T.contiguous()
    user, positive, negative = users.index_select(0, u), playlists.index_select(0, p), playlists.index_select(0, n)
    difference = positive - negative
    margin = _dot(user, difference)
    push = torch.sigmoid(-margin)
    share = 1.0 / users.shape[1]
    both, cross, own = push * push, 2 * decay * push, decay * decay
    up, uu = _dot(user, positive), _dot(user, user)
    su = own * uu - cross * margin + both * _dot(difference, difference)
    sp = own * _dot(positive, positive) - cross * up + both * uu
    sn = own * _dot(negative, negative) + cross * (up - margin) + both * uu
    # Multiplied out; rounding must not make them negative.
    user_squares.index_add_(0, u, su.clamp_min(0) * share)
    playlist_squares.index_add_(0, p, sp.clamp_min(0) * share)
    playlist_squares.index_add_(0, n, sn.clamp_min(0) * share)
    ru, rp, rn = (
        (rate * squares.index_select(0, rows).rsqrt()).unsqueeze(1)
        for squares, rows in ((user_squares, u), (playlist_squares, p), (playlist_squares, n))
    )
    push = push.unsqueeze(1)
    users.index_add_(0, u, ru * (push * difference - decay * user))
    playlists.index_add_(0, p, rp * (push * user - decay * positive))
    playlists.index_add_(0, n, rn * (-push * user - decay * negative))
    return torch.nn.functional.softplus(-margin).double().sum()


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum(1)
