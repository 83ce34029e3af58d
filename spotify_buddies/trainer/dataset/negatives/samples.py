"""Part 8: the samples from which training draws triplets, a few hundred numbers a user for any number of triplets.

CSR `positives`: the likes in training, without those of a user whose pools are both empty. CSR `hard` and `easy`:
`pool_sample` playlists of each pool (see trainer.dataset.negatives.triplets), uniform without replacement, or the whole
pool where it is smaller. toy_users.npy int32: the users of the toy set, ascending.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.stages.blocks import Shared
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.trainer.dataset.arrays import Growing
from spotify_buddies.trainer.dataset.kernels import Tastes
from spotify_buddies.trainer.dataset.negatives.kernels import Labels, pools_of_block
from spotify_buddies.trainer.dataset.scoring import space_for
from spotify_buddies.trainer.reports.quantiles import describe
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]

Inputs = TypeVar("Inputs")
Sampled = tuple[Array, Array, Array, Array]

NAMES = ("positives", "hard", "easy")


def sample_block(
    inputs: tuple[Tastes, Labels], first: int, last: int, *, share: float, most: int, seed: np.uint64
) -> Sampled:
    """What the triplets of users first..last are drawn from, as `pools_of_block` says."""
    tastes, labels = inputs
    space = space_for(labels.owner.size)
    drawn: Sampled = pools_of_block(tastes, labels, first, last, share, most, seed, space)
    return drawn


def write_pools(
    directory: Path,
    shared: Shared[Inputs],
    sample: Callable[[Inputs, int, int], Sampled],
    sizes: tuple[int, int],
    toy: Array,
    settings: DataSettings,
    progress: Progress,
) -> dict[str, Any]:
    """Write the three CSR of `sizes` (U, P) and toy_users.npy; the statistics of part 8.

    sample: what `sample_block` returns, of a block of users. toy bool (U) marks the users of the toy set.
    """
    users, playlists = sizes
    # So that a data set without users has an array to join.
    blocks = [np.zeros((0, 6), np.int64)]
    with ExitStack() as stack:
        files = [stack.enter_context(Growing(directory / f"{name}.indices.npy", np.int32)) for name in NAMES]
        for *rows, counts in shared.over(sample, users, settings.block_users, "pools", progress):
            blocks.append(counts)
            for file, part in zip(files, rows, strict=True):
                file.append(part)
    counts = np.concatenate(blocks)
    # The first three columns are sizes of the samples; sizes of the pools and lost positives follow.
    for name, column in zip(NAMES, counts.T, strict=False):
        np.save(directory / f"{name}.indptr.npy", np.concatenate([np.zeros(1, np.int64), np.cumsum(column)]))
        np.save(directory / f"{name}.columns.npy", np.int64(playlists))
    np.save(directory / "toy_users.npy", np.flatnonzero(toy).astype(np.int32))
    return _statistics(counts, toy, settings)


def triplets_per_user(directory: Path, negatives: int) -> Array:
    """Triplets of each user in an epoch, and in the file where there is one, int64 (U)."""
    counts: Array = negatives * np.diff(np.load(directory / "positives.indptr.npy"))
    return counts


def _statistics(counts: Array, toy: Array, settings: DataSettings) -> dict[str, Any]:
    # Sizes of the whole pools, not of the samples that were kept of them.
    positives, pools, lost = counts[:, 0], counts[:, 3:5], counts[:, 5]
    trained = positives > 0
    return {
        "negatives": settings.negatives,
        "hard_share": settings.hard_share,
        "triplets": settings.negatives * int(positives.sum()),
        "toy_triplets": settings.negatives * int(positives[toy].sum()),
        "toy_users": int(toy.sum()),
        "users_with_triplets": int(trained.sum()),
        "triplets_per_user": describe(settings.negatives * positives[trained]),
        "hard_pool_per_user": describe(pools[trained, 0]),
        "easy_pool_per_user": describe(pools[trained, 1]),
        "users_without_an_easy_pool": int((trained & (pools[:, 1] == 0)).sum()),
        "users_without_negatives": int((lost > 0).sum()),
        "positives_without_negatives": int(lost.sum()),
    }
