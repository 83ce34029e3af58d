"""The seam between the training loop and the backends that fit factors: the Protocol, and the choice by settings.

The loop (trainer.models.train) knows epochs, validation and checkpoints, and no model. A model is a class that
satisfies `Backend`; the next one is one module with such a class, an opener and a line in KINDS here, and its name in
[train] model or backend (trainer.settings). It is imported when it is chosen, so that torch costs only those who use
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy.typing as npt

from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.order import TripletSource
from spotify_buddies.trainer.settings import TrainSettings

if TYPE_CHECKING:
    from spotify_buddies.trainer.models.hybrid.songs import SongSets

Array = npt.NDArray[Any]
Name = Literal["numba", "torch", "fused", "hybrid", "hybrid_fused"]

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
        """Everything that training needs to resume: user_factors, playlist_factors and the optimiser's arrays."""


@dataclass(frozen=True)
class Recipe:
    """Settings with the defaults of the chosen backend filled in. centring None: chosen on the validation rows."""

    backend: Name
    learning_rate: float
    regularisation: float
    centring: float | None


class Opening(NamedTuple):
    """What a backend is opened with. state: as Backend.state returned it, or the start of a training."""

    settings: TrainSettings
    recipe: Recipe
    state: Mapping[str, Array]
    sets: SongSets | None
    progress: Progress


@dataclass(frozen=True)
class Kind:
    """A backend's opener, and what its settings are where they are unset.

    own_start: it makes its first factors by itself, from an empty state; else they are drawn for it.
    """

    open: Callable[[Opening], Backend]
    learning_rate: float
    regularisation: float
    centring: float | None
    own_start: bool = False


def recipe(settings: TrainSettings) -> Recipe:
    """Choose the backend and fill in what the settings leave open."""
    chosen = _chosen(settings)
    kind = KINDS[chosen]
    return Recipe(
        backend=chosen,
        learning_rate=kind.learning_rate if settings.learning_rate is None else settings.learning_rate,
        regularisation=kind.regularisation if settings.regularisation is None else settings.regularisation,
        centring=kind.centring if settings.centring is None else settings.centring,
    )


def _chosen(settings: TrainSettings) -> Name:
    if settings.model == "bpr":
        return settings.backend if settings.backend != "auto" else _best()
    # The published recipe, torch, is one of bpr alone.
    chosen = _best() if settings.backend == "auto" else settings.backend
    return "hybrid_fused" if chosen == "fused" else "hybrid"


def open_backend(
    settings: TrainSettings,
    state: Mapping[str, Array],
    sets: SongSets | None = None,
    progress: Progress = silent,
) -> Backend:
    """The backend on a state: what `state` returned, or the start of a training.

    The start is the two tables of factors alone, or nothing for a kind with a start of its own. sets: what the hybrid
    model's factors are summed from. ValueError: it has none.
    """
    chosen = recipe(settings)
    return KINDS[chosen.backend].open(Opening(settings, chosen, state, sets, progress))


def _open_numba(opening: Opening) -> Backend:
    from spotify_buddies.trainer.models.bpr.numba_backend import NumbaBackend

    made = opening.recipe
    return NumbaBackend(opening.settings, made.learning_rate, made.regularisation, opening.state)


def _open_torch(opening: Opening) -> Backend:
    from spotify_buddies.trainer.models.bpr.torch_backend import TorchBackend

    made = opening.recipe
    return TorchBackend(opening.settings, made.learning_rate, made.regularisation, opening.state)


def _open_fused(opening: Opening) -> Backend:
    from spotify_buddies.trainer.models.bpr.device.fused_backend import FusedBackend

    made = opening.recipe
    return FusedBackend(opening.settings, made.learning_rate, made.regularisation, opening.state)


def _open_hybrid(opening: Opening) -> Backend:
    from spotify_buddies.trainer.models.hybrid.backend import HybridBackend

    settings, made, state, sets, progress = opening
    if sets is None:
        raise ValueError("the hybrid model needs song sets")
    return HybridBackend(settings, made.learning_rate, made.regularisation, sets, state, progress)


def _open_hybrid_fused(opening: Opening) -> Backend:
    from spotify_buddies.trainer.models.hybrid.device.device_backend import HybridDeviceBackend

    settings, made, state, sets, progress = opening
    if sets is None:
        raise ValueError("the hybrid model needs song sets")
    return HybridDeviceBackend(settings, made.learning_rate, made.regularisation, sets, state, progress)


# Adam (torch, hybrid) wants shorter steps than row-wise Adagrad. Neither the published recipe nor the hybrid model is
# centred.
KINDS: Mapping[Name, Kind] = {
    "numba": Kind(_open_numba, learning_rate=0.05, regularisation=0.005, centring=None),
    "fused": Kind(_open_fused, learning_rate=0.05, regularisation=0.005, centring=None),
    "torch": Kind(_open_torch, learning_rate=0.005, regularisation=0.0, centring=0.0),
    "hybrid": Kind(_open_hybrid, learning_rate=0.005, regularisation=0.0, centring=0.0, own_start=True),
    "hybrid_fused": Kind(_open_hybrid_fused, learning_rate=0.005, regularisation=0.0, centring=0.0, own_start=True),
}


def _best() -> Literal["numba", "fused"]:
    # Importing torch takes seconds, so ask the machine first.
    if not any(Path(device).exists() for device in _GPU_DEVICES) or find_spec("torch") is None:
        return "numba"
    import torch

    return "fused" if torch.cuda.is_available() else "numba"
