"""The gradients of triplets and the step of Adam, as in `trainer.models.hybrid.kernels`, on a device."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import softplus

from spotify_buddies.trainer.models.hybrid.kernels import BETA1, BETA2, EPSILON

# Rows of factors that are in memory for one triplet, of float32, and how many bytes they may be together.
_ROWS, _BYTES = 6, 1 << 29


def at_once(dimension: int) -> int:
    """Triplets whose gradients are gathered together: what is in memory between two sums is bounded by it."""
    return max(1, _BYTES // (_ROWS * 4 * dimension))


def gather(
    triplets: torch.Tensor,
    users: torch.Tensor,
    playlists: torch.Tensor,
    likes: slice,
    by_user: torch.Tensor,
    by_playlist: torch.Tensor,
) -> torch.Tensor:
    """Add the gradients of triplets int32 (n, 3) over the dimensions `likes`; their summed loss, float64.

    As `push_triplets`, `user_gradients` and `playlist_gradients`. by_user (U, likes) and by_playlist (P, likes) change.
    """
    u, p, n = triplets.T.contiguous()
    user = users.index_select(0, u)
    difference = playlists.index_select(0, p).sub_(playlists.index_select(0, n))
    margin = (user * difference).sum(1)
    push = torch.sigmoid(-margin).unsqueeze(1)
    by_user.index_add_(0, u, push * difference[:, likes], alpha=-1)
    change = push * user[:, likes]
    by_playlist.index_add_(0, p, change, alpha=-1)
    by_playlist.index_add_(0, n, change)
    return softplus(-margin).double().sum()


def adam(
    values: torch.Tensor,
    mean: torch.Tensor,
    square: torch.Tensor,
    gradient: torch.Tensor,
    *,
    decay: float,
    rate: float,
    steps: int,
) -> None:
    """As `kernels.adam` on all rows (Kingma and Ba 2015), in place, the weighed gradient too; steps counts from 1."""
    one = np.float32(1)
    step = float(np.float32(rate / (1.0 - float(BETA1) ** steps)))
    correction = float(np.float32(1.0 / (1.0 - float(BETA2) ** steps)))
    if decay:
        gradient.add_(values, alpha=decay)
    mean.mul_(float(BETA1)).add_(gradient, alpha=float(one - BETA1))
    square.mul_(float(BETA2)).addcmul_(gradient, gradient, value=float(one - BETA2))
    # The gradient is not needed any more: its memory takes the root.
    root = torch.mul(square, correction, out=gradient).sqrt_().add_(float(EPSILON))
    values.addcdiv_(mean, root, value=-step)
