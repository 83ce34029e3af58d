"""A linear map that brings the two halves of a song set together, by InfoNCE. Imported only when a taste is learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy, normalize

Array = npt.NDArray[Any]
Pairs = Iterator[tuple[Array, Array]]


def contrast(
    start: Array,
    epoch: Callable[[int], Pairs],
    judge: Callable[[Array], float],
    *,
    rate: float,
    temperature: float,
    epochs: int,
    patience: int,
) -> tuple[Array, tuple[float, ...]]:
    """The map float32 (d, width) that `judge` finds best after one of the epochs, or `start`; and its judgements.

    epoch: from its number, from 1, batches of two float32 (n, width): the halves of n sets. The loss is that of
    telling, by the cosine after the map, the other half of a set among those of the batch, in both directions (van den
    Oord, Li and Vinyals 2018; temperature as in Chen et al. 2020); steps are Adam's. Stops `patience` epochs after the
    best one. On a CUDA device where there is one; on a CPU on one thread, so that the bytes are always the same.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with _one_thread():
        table = torch.nn.Parameter(torch.tensor(start, device=device))
        optimiser = torch.optim.Adam([table], lr=rate)
        best, found = start, [judge(start)]
        for number in range(1, epochs + 1):
            for first, second in epoch(number):
                _step(table, optimiser, first, second, temperature)
            learned = np.array(table.detach().cpu().numpy())
            found.append(judge(learned))
            if found[-1] > max(found[:-1]):
                best = learned
            if len(found) - 1 - int(np.argmax(found)) >= patience:
                break
    return best, tuple(found)


def _step(
    table: torch.nn.Parameter, optimiser: torch.optim.Optimizer, first: Array, second: Array, temperature: float
) -> None:
    a, b = (normalize(torch.from_numpy(half).to(table.device) @ table.T, dim=1) for half in (first, second))
    cosines = a @ b.T / temperature
    own = torch.arange(len(cosines), device=table.device)
    loss = (cross_entropy(cosines, own) + cross_entropy(cosines.T, own)) / 2
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch on one CPU thread: how a product is split between threads changes its rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
