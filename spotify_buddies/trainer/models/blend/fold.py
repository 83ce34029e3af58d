"""A weighted sum of parts as one inner product: factor blocks side by side, biases in a dimension that is 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.models.blend.parts import Part, Scale
from spotify_buddies.trainer.models.model import Model

Array = npt.NDArray[Any]

BIAS, SHIFT = "bias", "shift"


@dataclass(frozen=True)
class Weighing:
    """A part with its scale and its weight."""

    part: Part
    scale: Scale
    weight: float


@dataclass(frozen=True)
class Folded:
    """model: u . p is the weighted sum of the standardised parts; blocks: which dimensions hold what, in order."""

    model: Model
    blocks: Mapping[str, slice]


def fold(weighings: Sequence[Weighing], users: int, playlists: int, keep: Sequence[str] = ()) -> Folded:
    """Inner products and biases as one inner product, float32; parts of item models are not in it.

    A part keeps the playlists' factors as they are, and its weight over the user's spread goes to the user, so that
    a factor of the part alone still ranks as before. A part that shares another's users (owner affinity) is added to
    that one's playlists. The last two dimensions: all biases (1 for every user), and what standardising takes from
    each user's scores (1 for every playlist). Parts that weigh 0 are left out, but for those in `keep`, whose
    playlists' factors have other uses; of these the users then have zeros.
    """
    left: list[tuple[str, Array, Array]] = []
    shift = np.zeros(users, np.float64)
    bias = np.zeros(playlists, np.float64)
    by_name = {w.part.name: w for w in weighings}
    for one in weighings:
        part = one.part
        if part.bias is not None:
            bias += one.weight * float(one.scale.inverse[0] if users else 0) * (part.bias - part.bias.mean())
            continue
        if part.model is None:
            continue
        shift -= one.weight * one.scale.mean * one.scale.inverse
        host = by_name.get(part.shared)
        if (one.weight == 0 and part.name not in keep) or (host is not None and host.weight > 0):
            continue
        table = part.model.playlist_factors
        for guest in weighings if one.weight else ():
            if guest.part.shared == part.name and guest.part.model is not None:
                table = table + np.float32(guest.weight / one.weight) * guest.part.model.playlist_factors
        of_users = part.model.user_factors * (np.float32(one.weight) * one.scale.inverse)[:, None]
        left.append((part.name, of_users, table))
    left.append((BIAS, np.ones((users, 1)), bias[:, None]))
    left.append((SHIFT, shift[:, None], np.ones((playlists, 1))))
    return _side_by_side(left)


def _side_by_side(blocks: Sequence[tuple[str, Array, Array]]) -> Folded:
    ends = np.cumsum([of_users.shape[1] for _, of_users, _ in blocks])
    places = {
        name: slice(int(end) - table.shape[1], int(end)) for (name, _, table), end in zip(blocks, ends, strict=True)
    }
    users = np.concatenate([of_users for _, of_users, _ in blocks], axis=1).astype(np.float32)
    playlists = np.concatenate([table for _, _, table in blocks], axis=1).astype(np.float32)
    return Folded(Model(np.ascontiguousarray(users), np.ascontiguousarray(playlists)), places)
