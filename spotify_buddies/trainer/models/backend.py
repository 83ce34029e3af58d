"""What fits the factors: the seam between the training loop and the numba kernel, torch or a CUDA device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.stages.blocks import processors
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.models.bpr.kernels import update
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.order import TripletSource, ahead, visit
from spotify_buddies.trainer.settings import TrainSettings

if TYPE_CHECKING:
    from spotify_buddies.trainer.models.hybrid.songs import SongSets

Array = npt.NDArray[Any]

# Adagrad starts from this sum of squares instead of 0: early steps stay short, so that rows seen more often move
# further, as with plain descent. On a real sample the validation MRR was 0.50 with 0.1 to 1, and 0.48 with 0.
START_SQUARES = 0.3
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")  # Linux, and Linux under Windows


class Backend(Protocol):
    """Holds factors and optimiser state, and learns from triplets."""

    def step(self, triplets: Array) -> float:
        """Learn from a block int32 (n, 3) once, in its order; returns the loss summed over its triplets."""

    def epoch(self, source: TripletSource, seed: int, number: int) -> Iterator[tuple[float, int]]:
        """Learn from an epoch of the source; after each block the loss summed over its triplets, and their number."""

    def model(self) -> Model:
        """The factors now, in the memory of this machine; they may change with the next step."""

    def state(self) -> dict[str, Array]:
        """Everything that training needs to go on: user_factors, playlist_factors and the optimiser's arrays."""


@dataclass(frozen=True)
class Recipe:
    """Settings with the defaults of the chosen backend filled in. centring None: chosen on the validation rows."""

    backend: Literal["numba", "torch", "fused", "hybrid"]
    learning_rate: float
    regularisation: float
    centring: float | None


def recipe(settings: TrainSettings) -> Recipe:
    """Choose the backend and fill in what the settings leave open."""
    chosen: Literal["numba", "torch", "fused", "hybrid"] = "hybrid"
    if settings.model == "bpr":
        chosen = settings.backend if settings.backend != "auto" else _best()
    adam = chosen in ("torch", "hybrid")
    rate, decay = (0.005, 0.0) if adam else (0.05, 0.005)
    return Recipe(
        backend=chosen,
        learning_rate=rate if settings.learning_rate is None else settings.learning_rate,
        regularisation=decay if settings.regularisation is None else settings.regularisation,
        centring=0.0 if adam and settings.centring is None else settings.centring,
    )


def open_backend(
    settings: TrainSettings,
    state: Mapping[str, Array],
    sets: SongSets | None = None,
    progress: Progress = silent,
) -> Backend:
    """The backend on a state; the initial state is the two tables of factors alone, and nothing for the hybrid model.

    sets: what the hybrid model's factors are summed from. ValueError: it has none.
    """
    chosen = recipe(settings)
    if chosen.backend == "hybrid":
        from spotify_buddies.trainer.models.hybrid.backend import HybridBackend

        if sets is None:
            raise ValueError("the hybrid model needs song sets")
        return HybridBackend(settings, chosen.learning_rate, chosen.regularisation, sets, state, progress)
    if chosen.backend == "torch":
        from spotify_buddies.trainer.models.bpr.torch_backend import TorchBackend

        return TorchBackend(settings, chosen.learning_rate, chosen.regularisation, state)
    if chosen.backend == "fused":
        from spotify_buddies.trainer.models.bpr.device.backend import FusedBackend

        return FusedBackend(settings, chosen.learning_rate, chosen.regularisation, state, START_SQUARES)
    return NumbaBackend(settings, chosen.learning_rate, chosen.regularisation, state)


class NumbaBackend:
    """The fused kernel. One thread is deterministic; more run Hogwild (Niu et al. 2011), which is not reproducible."""

    def __init__(self, settings: TrainSettings, rate: float, decay: float, state: Mapping[str, Array]) -> None:
        self._rate, self._decay = rate, decay
        self._threads = settings.threads or processors()
        self._users, self._playlists = state["user_factors"], state["playlist_factors"]
        self._user_squares = state.get("user_squares", np.full(len(self._users), START_SQUARES, np.float32))
        self._playlist_squares = state.get("playlist_squares", np.full(len(self._playlists), START_SQUARES, np.float32))

    def step(self, triplets: Array) -> float:
        """Visit the block in its order, in as many slices at once as there are threads."""
        if self._threads == 1:
            return self._run(triplets)
        with ThreadPoolExecutor(self._threads) as pool:
            return sum(pool.map(self._run, np.array_split(triplets, self._threads)))

    def epoch(self, source: TripletSource, seed: int, number: int) -> Iterator[tuple[float, int]]:
        """Block by block; with several threads the next block is made meanwhile."""
        blocks = source.blocks(seed, number)
        return visit(self.step, blocks if self._threads == 1 else ahead(blocks))

    def _run(self, triplets: Array) -> float:
        loss: float = update(
            triplets,
            self._users,
            self._playlists,
            self._user_squares,
            self._playlist_squares,
            self._rate,
            self._decay,
        )
        return loss

    def model(self) -> Model:
        """The factors, not copied."""
        return Model(self._users, self._playlists)

    def state(self) -> dict[str, Array]:
        """Factors and Adagrad's sums."""
        return {
            "user_factors": self._users,
            "playlist_factors": self._playlists,
            "user_squares": self._user_squares,
            "playlist_squares": self._playlist_squares,
        }


def _best() -> Literal["numba", "fused"]:
    # Importing torch takes seconds, so ask the machine first.
    if not any(Path(device).exists() for device in _GPU_DEVICES) or find_spec("torch") is None:
        return "numba"
    import torch

    return "fused" if torch.cuda.is_available() else "numba"
