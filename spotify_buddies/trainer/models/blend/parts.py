"""The parts of a blend: scores of pairs, with the mean and the spread that make parts comparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.models.items.item_model import ItemModel, in_blocks
from spotify_buddies.trainer.models.model import Model

Array = npt.NDArray[Any]

_LEAST = 1e-6  # of a spread: below it a user has no opinion of this part, and the part says 0


@dataclass(frozen=True)
class Part:
    """One part: an inner product (model), a bias of the playlists float32 (P,), or an item model without factors.

    shared: the part whose user factors, and therefore whose spread, it has too (owner affinity: taste). Exactly one of
    model, bias and items is there.
    """

    name: str
    model: Model | None = None
    bias: Array | None = None
    items: ItemModel | None = None
    shared: str = ""


@dataclass(frozen=True)
class Scale:
    """What makes a part comparable: (score - mean[u]) / spread[u]; float32 (U,) each."""

    mean: Array
    inverse: Array

    def __call__(self, users: Array, scores: Array) -> Array:
        """Standardised scores, float32, of pairs whose users are given."""
        return np.asarray((scores - self.mean[users]) * self.inverse[users], np.float32)


def scale_of(part: Part, users: int) -> Scale:
    """Mean and spread of a part over all playlists for every user; a bias has the same for all of them.

    Of an inner product they follow from the playlists' mean and covariance. An item model's scores are made in blocks.
    """
    if part.bias is not None:
        spread = float(part.bias.std())
        inverse = 1 / spread if spread > _LEAST else 0.0
        return Scale(np.full(users, part.bias.mean(), np.float32), np.full(users, inverse, np.float32))
    if part.model is not None:
        table = part.model.playlist_factors.astype(np.float64)
        of_users = part.model.user_factors.astype(np.float64)
        mean = of_users @ table.mean(axis=0)
        covariance = np.atleast_2d(np.cov(table, rowvar=False, bias=True))
        spread_of = np.sqrt(np.maximum(np.einsum("ud,ud->u", of_users @ covariance, of_users), 0))
        return _scale(mean, spread_of)
    mean, spread_of = np.zeros(users), np.zeros(users)
    for rows in in_blocks(np.arange(users)):
        scores = _items(part).scores(rows)
        mean[rows], spread_of[rows] = scores.mean(axis=1), scores.std(axis=1)
    return _scale(mean, spread_of)


def scales_of(parts: Sequence[Part], users: int) -> list[Scale]:
    """Scales in the order of the parts; one that shares another's users has the spread of that one."""
    found = {part.name: scale_of(part, users) for part in parts}
    return [
        Scale(found[part.name].mean, found[part.shared].inverse) if part.shared in found else found[part.name]
        for part in parts
    ]


def _scale(mean: Array, spread: Array) -> Scale:
    inverse = np.divide(1, spread, out=np.zeros_like(spread), where=spread > _LEAST)
    return Scale(mean.astype(np.float32), inverse.astype(np.float32))


def pair_scores(part: Part, users: Array, playlists: Array) -> Array:
    """Scores of pairs, float32 (pairs,); users must ascend."""
    from spotify_buddies.trainer.models.blend.kernels import pair_products  # numba takes half a second to import

    if part.bias is not None:
        return np.asarray(part.bias[playlists], np.float32)
    out = np.empty(users.size, np.float32)
    if part.model is not None:
        factors = (np.ascontiguousarray(t, np.float32) for t in (part.model.user_factors, part.model.playlist_factors))
        pair_products(np.asarray(users), np.asarray(playlists), *factors, out)
        return out
    for rows in in_blocks(np.unique(users)):
        first, last = np.searchsorted(users, rows[0]), np.searchsorted(users, rows[-1], "right")
        scores = _items(part).scores(rows)
        out[first:last] = scores[np.searchsorted(rows, users[first:last]), playlists[first:last]]
    return out


def _items(part: Part) -> ItemModel:
    if part.items is None:
        raise ValueError(f"part {part.name} has neither factors nor a bias nor an item model")
    return part.items
