"""Playlists that are near to many people stand back: local scaling of the taste, as one more dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages.blocks import spans

Array = npt.NDArray[Any]

# Of so many people of most; with 20 the same halves are found (docs/adr/0024).
NEAREST, MOST_PEOPLE = 10, 8_192
_TOGETHER = 512


def nearness(users: Array, playlists: Array, seed: int) -> Array:
    """The mean score of each playlist (P, d) with the NEAREST people nearest to it, float32 (P,); 0 without people.

    users (U, d): of more than MOST_PEOPLE that are not zeros so many are drawn.
    """
    people = np.flatnonzero(users.any(axis=1))
    if people.size > MOST_PEOPLE:
        people = np.sort(generator(seed, "hybrid/people near playlists").choice(people, MOST_PEOPLE, replace=False))
    asked = np.ascontiguousarray(users[people].T)
    near = np.zeros(len(playlists), np.float32)
    k = min(NEAREST, people.size)
    if not k:
        return near
    # One thread: with more of them a sum may be made in another order.
    with threadpool_limits(1, "blas"):
        for first, last in spans(near.size, _TOGETHER):
            scores = playlists[first:last] @ asked
            best: Array = np.sort(np.partition(scores, -k, axis=1)[:, -k:], axis=1)
            near[first:last] = best.mean(axis=1)
    return near


def hub_dimension(users: Array, playlists: Array, seed: int) -> tuple[Array, Array]:
    """A dimension more for users (U,) and playlists (P,), float32, by which each playlist loses half its `nearness`.

    In a space of many dimensions some points are among the nearest of very many others. Half the nearness of both
    sides is taken from a similarity by CSLS (Conneau et al. 2018); that of the asking side changes no order. Users have
    1 there, and zeros where their taste is zeros.
    """
    loss = np.float32(-0.5) * nearness(users, playlists, seed)
    asks: Array = np.any(users, axis=1).astype(np.float32)
    return asks, loss
