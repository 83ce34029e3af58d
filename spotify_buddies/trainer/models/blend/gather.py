"""Which parts a data set's blend has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.models.blend.parts import Part
from spotify_buddies.trainer.models.items.item_model import ItemModel
from spotify_buddies.trainer.models.model import Model

Array = npt.NDArray[Any]

TASTE, LIKES, OWNER, POPULARITY, NEW = "taste", "likes", "owner", "popularity", "freshness"
OWN = (TASTE, LIKES)


def gather(data: Dataset, model: Model, items: Mapping[str, ItemModel], taste_dims: int) -> tuple[Part, ...]:
    """The model's own parts first, then item models, owner affinity, popularity and freshness; each that says anything.

    Owner affinity: the taste of the playlist's owner, where it has one. Freshness: 1 for playlists that nobody likes in
    training.
    """
    parts = _own(model, taste_dims)
    exact = any(one.factors() is None for one in items.values())
    for name, one in items.items():
        # Beside a part that needs a stored number a candidate anyway, another one in that number costs nothing.
        factors = None if exact else one.factors()
        parts.append(Part(name, factors) if factors is not None else Part(name, items=one))
    owners = _owners(data.owner, model, taste_dims, parts[0])
    if owners is not None:
        parts.append(owners)
    likes = data.count_train_likes()
    biases = {POPULARITY: np.log1p(likes), NEW: (likes == 0)}
    parts += [Part(name, bias=b.astype(np.float32)) for name, b in biases.items() if b.size and b.min() < b.max()]
    return tuple(parts)


def _own(model: Model, taste_dims: int) -> list[Part]:
    users, playlists = model.user_factors, model.playlist_factors
    pieces = {TASTE: slice(0, taste_dims), LIKES: slice(taste_dims, users.shape[1])}
    return [Part(name, Model(users[:, at], playlists[:, at])) for name, at in pieces.items() if at.start < at.stop]


def _owners(owner: Array, model: Model, taste_dims: int, host: Part) -> Part | None:
    """Owner affinity beside the part whose user factors it shares; None without owners or without a taste."""
    known = np.asarray(owner) >= 0
    if not known.any() or not taste_dims or host.model is None:
        return None
    table = np.zeros_like(host.model.playlist_factors)
    table[known, :taste_dims] = model.user_factors[np.asarray(owner)[known], :taste_dims]
    return Part(OWNER, Model(host.model.user_factors, table), shared=host.name)
