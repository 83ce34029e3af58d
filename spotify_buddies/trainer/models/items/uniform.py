"""Plain BPR with negatives drawn uniformly and anew in every epoch, for as many epochs as held-out pairs want."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.models.bpr.numba_backend import START_SQUARES
from spotify_buddies.trainer.models.items.item_model import Factored
from spotify_buddies.trainer.models.model import Model, initial_model

Array = npt.NDArray[Any]

DIMENSION, EPOCHS, NEGATIVES, RATE, DECAY, EVERY = 128, 120, 4, 0.05, 0.02, 20


def fit_uniform_bpr(
    interactions: Csr,
    *,
    dimension: int = DIMENSION,
    epochs: int = EPOCHS,
    negatives: int = NEGATIVES,
    rate: float = RATE,
    decay: float = DECAY,
    seed: int = 42,
    worth: Callable[[Model], float] | None = None,
    progress: Progress = silent,
) -> tuple[Factored, int]:
    """BPR (Rendle et al., UAI 2009) by row-wise Adagrad; the model and the epochs that it took.

    worth: higher is better; asked every EVERY epochs, and training stops when it falls, with the better model. None:
    all epochs. A negative that the user follows is drawn all the same: one in a thousand. Who has no interactions has
    zeros. One thread: the same bytes for a seed.
    """
    from spotify_buddies.trainer.models.bpr.kernels import update

    model = initial_model(interactions.rows, interactions.columns, dimension, seed)
    squares = [np.full(rows, START_SQUARES, np.float32) for rows in (interactions.rows, interactions.columns)]
    users = np.repeat(np.arange(interactions.rows, dtype=np.int32), interactions.counts)
    best, best_worth, best_epoch = model, -np.inf, 0
    for epoch in range(1, epochs + 1):
        triplets = _draw(users, interactions, negatives, generator(seed, f"uniform bpr {epoch}"))
        update(triplets, model.user_factors, model.playlist_factors, *squares, np.float32(rate), np.float32(decay))
        progress("bpr", epoch, epochs, "epochs")
        if worth is not None and (epoch % EVERY == 0 or epoch == epochs):
            now = worth(model)
            if now <= best_worth:
                break
            best, best_worth, best_epoch = _copy(model), now, epoch
    last = (best, best_epoch) if best_epoch else (model, epochs)
    return Factored(_without_strangers(last[0], interactions)), last[1]


def _draw(users: Array, interactions: Csr, negatives: int, chance: np.random.Generator) -> Array:
    triplets = np.empty((users.size * negatives, 3), np.int32)
    triplets[:, 0] = np.repeat(users, negatives)
    triplets[:, 1] = np.repeat(interactions.indices, negatives)
    triplets[:, 2] = chance.integers(0, max(interactions.columns, 1), len(triplets))
    return triplets[chance.permutation(len(triplets))]


def _copy(model: Model) -> Model:
    return Model(model.user_factors.copy(), model.playlist_factors.copy())


def _without_strangers(model: Model, interactions: Csr) -> Model:
    known = (interactions.counts > 0)[:, None]
    return Model(np.where(known, model.user_factors, np.float32(0)), model.playlist_factors)
