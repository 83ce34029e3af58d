"""The update by triplets as a Triton kernel; Triton comes with torch's builds for CUDA devices."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

# Triplets of one program, and its warps. With two in one warp all sums stay within the warp and all loads are of 16
# bytes (read off the compiled code for sm_90); tests/benchmarks/train_gpu.py times others.
TILE, WARPS = 2, 1


# Triton evaluates annotations, and knows no others than its own.
@triton.jit
def _update(  # type: ignore[no-untyped-def]
    triplets,
    users,
    playlists,
    user_squares,
    playlist_squares,
    losses,
    count,
    rate,
    decay,
    dimension: tl.constexpr,
    width: tl.constexpr,
    tile: tl.constexpr,
):
    # Everything between the loads and the atomic sums stays in registers, float32.
    places = tl.program_id(0) * tile + tl.arange(0, tile)
    valid = places < count
    u = tl.load(triplets + 3 * places, mask=valid, other=0).to(tl.int64)
    p = tl.load(triplets + 3 * places + 1, mask=valid, other=0).to(tl.int64)
    n = tl.load(triplets + 3 * places + 2, mask=valid, other=0).to(tl.int64)
    columns = tl.arange(0, width)
    inside = valid[:, None] & (columns < dimension)[None, :]
    at_user = users + u[:, None] * dimension + columns[None, :]
    at_positive = playlists + p[:, None] * dimension + columns[None, :]
    at_negative = playlists + n[:, None] * dimension + columns[None, :]
    user = tl.load(at_user, mask=inside, other=0.0)
    positive = tl.load(at_positive, mask=inside, other=0.0)
    negative = tl.load(at_negative, mask=inside, other=0.0)
    difference = positive - negative
    margin = tl.sum(user * difference, 1)
    small = tl.exp(-tl.abs(margin))  # never overflows
    tl.store(losses + places, tl.maximum(-margin, 0.0) + tl.log(1.0 + small), mask=valid)
    push = (tl.where(margin > 0, small, 1.0) / (1.0 + small))[:, None]
    of_user = decay * user - push * difference
    of_positive = decay * positive - push * user
    of_negative = decay * negative + push * user
    su = tl.sum(of_user * of_user, 1) / dimension
    sp = tl.sum(of_positive * of_positive, 1) / dimension
    sn = tl.sum(of_negative * of_negative, 1) / dimension
    # An atomic sum returns what was there before, so this is the sum with the triplet's own gradient in it.
    ru = rate / tl.sqrt(tl.atomic_add(user_squares + u, su, mask=valid) + su)
    rp = rate / tl.sqrt(tl.atomic_add(playlist_squares + p, sp, mask=valid) + sp)
    rn = rate / tl.sqrt(tl.atomic_add(playlist_squares + n, sn, mask=valid) + sn)
    tl.atomic_add(at_user, -ru[:, None] * of_user, mask=inside)
    tl.atomic_add(at_positive, -rp[:, None] * of_positive, mask=inside)
    tl.atomic_add(at_negative, -rn[:, None] * of_negative, mask=inside)


def update(
    triplets: torch.Tensor,
    users: torch.Tensor,
    playlists: torch.Tensor,
    user_squares: torch.Tensor,
    playlist_squares: torch.Tensor,
    rate: float,
    decay: float,
    *,
    batch: int,
    tile: int = TILE,
    warps: int = WARPS,
) -> torch.Tensor:
    """As `trainer.models.bpr.kernels.update`, in place, `batch` triplets at most in flight; the summed loss, float64.

    triplets int32 (n, 3); all tensors contiguous, on one device. Sums are atomic, and in whichever order they come.
    tile: a power of two.
    """
    losses = torch.empty(len(triplets), device=triplets.device)
    dimension = users.shape[1]
    for part, loss in zip(torch.split(triplets, batch), torch.split(losses, batch), strict=True):
        _update[(triton.cdiv(len(part), tile),)](
            part,
            users,
            playlists,
            user_squares,
            playlist_squares,
            loss,
            len(part),
            rate,
            decay,
            dimension,
            triton.next_power_of_2(dimension),
            tile,
            num_warps=warps,
        )
    return losses.sum(dtype=torch.float64)
