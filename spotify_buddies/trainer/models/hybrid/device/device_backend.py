"""The hybrid model by torch on a device: the steps of HybridBackend, with factors, moments and song sets there.

The triplets are those of the numba backend, drawn on the processors while the device learns from the ones before them.
The start is made on the processors as well, once. Everything is float32, as there; sums of it differ in their order, so
that the two backends' factors are alike and not the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.models.fixed_order import in_a_fixed_order
from spotify_buddies.trainer.models.hybrid.backend import batches, start_state
from spotify_buddies.trainer.models.hybrid.device.song_sums import SongSums, to_device
from spotify_buddies.trainer.models.hybrid.device.steps import adam, at_once, gather
from spotify_buddies.trainer.models.hybrid.songs import SongSets, feature
from spotify_buddies.trainer.models.hybrid.state import PLAYLISTS, USERS, likes_end, taste_dimensions
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.order import TripletSource, ahead
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]

# They do not change and no step reads them: the state has them, the device does not.
_AT_REST = ("taste_songs", "taste_artists")


class HybridDeviceBackend:
    """As HybridBackend, whose state goes on here and the other way round.

    device: None: the CUDA device, or a CPU where there is none. The bytes of two runs are the same on a CPU, and on a
    CUDA device with `deterministic`. state: empty to begin with, else what `state` of either backend returned.
    """

    def __init__(
        self,
        settings: TrainSettings,
        rate: float,
        decay: float,
        sets: SongSets,
        state: Mapping[str, Array],
        progress: Progress = silent,
        device: torch.device | None = None,
    ) -> None:
        self._device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._rate, self._decay, self._batch = rate, decay, settings.hybrid_batch
        self._deterministic, self._at_once = settings.deterministic, at_once(settings.dimension)
        self._likes = slice(taste_dimensions(settings), likes_end(settings))
        rows = feature(sets, settings.artist_weight)
        arrays = dict(state) or start_state(rows, settings, progress)
        self._steps = int(arrays.pop("steps", np.zeros(1, np.int64))[0])
        self._at_rest = {name: arrays.pop(name) for name in _AT_REST if name in arrays}
        self._values = {name: to_device(array, self._device) for name, array in arrays.items()}
        self._sums = SongSums(rows, self._device)

    def step(self, triplets: Array) -> float:
        """One step of Adam on the mean loss of the triplets int32 (n, 3); their summed loss. None of them: no step."""
        return self._learn([triplets])

    def epoch(self, source: TripletSource, seed: int, number: int) -> Iterator[tuple[float, int]]:
        """A step for every `hybrid_batch` triplets, and one for what is left."""
        for blocks in batches(ahead(source.blocks(seed, number)), self._batch):
            yield self._learn(blocks), sum(map(len, blocks))

    def _learn(self, blocks: list[Array]) -> float:
        count = sum(map(len, blocks))
        if not count:
            return 0.0
        values, sums = self._values, self._sums
        own = {name: torch.zeros_like(values[name]) for name in ("user_own", "playlist_own")}
        loss = self._gather(blocks, *own.values())
        for gradient in own.values():
            gradient.div_(count)
        songs = sums.give_back(USERS, own["user_own"]).add_(sums.give_back(PLAYLISTS, own["playlist_own"]))
        self._steps += 1
        self._move("artists", sums.artist_gradient(songs))
        self._move("songs", songs.mul_(sums.song_weights))
        for name, gradient in own.items():
            self._move(name, gradient, self._decay)
        self._materialise()
        return float(loss)  # asked for once a step: reading it waits for the device

    def _gather(self, blocks: list[Array], by_user: torch.Tensor, by_playlist: torch.Tensor) -> torch.Tensor:
        """Add the gradients of blocks by user and playlist; their summed loss, float64, on the device."""
        users, playlists = self._values["user_factors"], self._values["playlist_factors"]
        loss = torch.zeros((), dtype=torch.float64, device=self._device)
        # The only sums that several threads add to at once.
        with in_a_fixed_order(self._deterministic):
            for block in blocks:
                for part in torch.split(to_device(block, self._device), self._at_once):
                    loss += gather(part, users, playlists, self._likes, by_user, by_playlist)
        return loss

    def _move(self, name: str, gradient: torch.Tensor, decay: float = 0.0) -> None:
        values, mean, square = (self._values[key] for key in (name, f"{name}.mean", f"{name}.square"))
        adam(values, mean, square, gradient, decay=decay, rate=self._rate, steps=self._steps)

    def _materialise(self) -> None:
        """As `state.materialise`."""
        values = self._values
        vectors = self._sums.vectors(values["songs"], values["artists"])
        for part, name in ((USERS, "user"), (PLAYLISTS, "playlist")):
            likes = self._sums.rows(part, vectors).add_(values[f"{name}_own"])
            values[f"{name}_factors"][:, self._likes] = likes

    def model(self) -> Model:
        """The factors, copied from the device: taste, likes and hubs, as HybridBackend's."""
        return Model(self._values["user_factors"].cpu().numpy(), self._values["playlist_factors"].cpu().numpy())

    def state(self) -> dict[str, Array]:
        """What HybridBackend's state holds, under the same names."""
        copied = {name: values.cpu().numpy() for name, values in self._values.items()}
        return {**copied, **self._at_rest, "steps": np.array([self._steps], np.int64)}
