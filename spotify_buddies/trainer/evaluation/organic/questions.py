"""The questions of the protocol: which of these playlists is this user's other half."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.seeds import generator

Array = npt.NDArray[Any]


def ask(owner: Array, users: Array, *, negatives: int, seed: int) -> Array:
    """One row per user: user, own playlist, `negatives` distinct others; int32 (users, 2 + negatives).

    owner: user row of each playlist, -1 for none. users: rows to ask about; those who own no playlist are left out,
    of several the first counts. Empty where there are not enough other playlists.
    """
    own = np.full(max(int(owner.max(initial=-1)), int(users.max(initial=-1))) + 1, -1, np.int64)
    owned = np.flatnonzero(owner >= 0)[::-1]  # of several assignments the last one stays
    own[owner[owned]] = owned
    asked = users[own[users] >= 0]
    out = np.empty((asked.size, 2 + negatives), np.int32)
    if owner.size <= negatives:
        return out[:0]
    rng = generator(seed, "organic/questions")
    for question, user in enumerate(asked):
        others = rng.choice(owner.size - 1, negatives, replace=False)
        out[question, :2] = user, own[user]
        out[question, 2:] = others + (others >= own[user])  # steps over the user's playlist
    return out
