"""ELSA (Vančura et al., RecSys 2022): EASE's relative of low rank, for more playlists than a (P, P) matrix allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.models.items.item_model import Factored
from spotify_buddies.trainer.models.model import Model

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

DIMENSION, EPOCHS, BATCH, RATE = 256, 20, 256, 0.02


def fit_elsa(
    interactions: Csr,
    *,
    dimension: int = DIMENSION,
    epochs: int = EPOCHS,
    batch: int = BATCH,
    rate: float = RATE,
    seed: int = 42,
    progress: Progress = silent,
) -> Factored:
    """Score = x A A' - x, A (P, d) with rows of length 1; loss: distance of both sides at length 1; Adam.

    x: a user's row of ones. The - x touches only what is followed already, so playlists have the factor A and users
    x A, which is what comes back. Users without interactions have zeros. The bytes depend on the seed alone: one
    thread. Memory: `batch` dense rows of P, a few times over.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        table = _train(interactions, dimension, epochs, batch, rate, seed, progress)
    finally:
        torch.set_num_threads(before)
    users = np.asarray(interactions.to_scipy().sign() @ table, np.float32)
    return Factored(Model(users, table))


def _train(
    interactions: Csr, dimension: int, epochs: int, batch: int, rate: float, seed: int, progress: Progress
) -> Array:
    import torch

    chance = generator(seed, "elsa")
    start = chance.standard_normal((interactions.columns, dimension), np.float32)
    table = torch.from_numpy(start / np.sqrt(np.float32(dimension))).requires_grad_()
    optimiser = torch.optim.Adam([table], lr=rate)
    known = np.flatnonzero(interactions.counts)
    for epoch in range(epochs):
        order = chance.permutation(known)
        for first in range(0, order.size, batch):
            optimiser.zero_grad()
            loss = _loss(table, _dense(interactions, order[first : first + batch]))
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        progress("elsa", epoch + 1, epochs, "epochs")
    return np.asarray(torch.nn.functional.normalize(table.detach(), dim=1).numpy(), np.float32)


def _dense(interactions: Csr, rows: Array) -> torch.Tensor:
    import torch

    some = interactions.take(rows)
    dense = torch.zeros(rows.size, interactions.columns)
    places = np.repeat(np.arange(rows.size), some.counts)
    dense[torch.from_numpy(places), torch.from_numpy(np.asarray(some.indices, np.int64))] = 1
    return dense


def _loss(table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    from torch.nn.functional import normalize

    unit = normalize(table, dim=1)
    answered = torch_relu(rows @ unit @ unit.T - rows)
    return (normalize(answered, dim=1) - normalize(rows, dim=1)).square().sum(dim=1).mean()


def torch_relu(scores: torch.Tensor) -> torch.Tensor:
    """Scores below 0 are 0, as in the authors' code."""
    return scores.relu()
