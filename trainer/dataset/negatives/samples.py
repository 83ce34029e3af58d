"""Part 8: what triplets are drawn from while training, a few hundred numbers a user however many triplets there are.

CSR `positives`: the likes in training, without those of a user whose pools are both empty. CSR `hard` and `easy`:
`pool_sample` playlists of each pool (see trainer.dataset.negatives.triplets), uniform without replacement, or the whole
pool where it is smaller. toy_users.npy int32: the users of the toy set, ascending.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pairing.blocks import over_blocks
from pairing.progress import Progress
from pairing.seeds import derive
from trainer.dataset.arrays import Growing
from trainer.dataset.kernels import Tastes
from trainer.dataset.negatives.kernels import Labels, pools_of_block
from trainer.dataset.quantiles import describe
from trainer.dataset.score import Spaces
from trainer.settings import DataSettings

Array = npt.NDArray[Any]

NAMES = ("positives", "hard", "easy")


def write_pools(
    directory: Path, inputs: tuple[Tastes, Labels], toy: Array, settings: DataSettings, progress: Progress
) -> dict[str, Any]:
    """Write the three CSR (U, P) and toy_users.npy; toy bool (U) marks the toy set's users. Part 8's statistics."""
    tastes, labels = inputs
    users, playlists = labels.liked_ptr.size - 1, labels.owner.size
    spaces = Spaces(playlists)
    seed = np.uint64(derive(settings.seed, "pools"))
    share, most = settings.hard_pool, settings.pool_sample

    def block(first: int, last: int) -> tuple[Array, Array, Array, Array]:
        found: tuple[Array, Array, Array, Array] = spaces.lend(
            lambda space: pools_of_block(tastes, labels, first, last, share, most, seed, space)
        )
        return found

    blocks = [np.zeros((0, 6), np.int64)]
    with ExitStack() as stack:
        files = [stack.enter_context(Growing(directory / f"{name}.indices.npy", np.int32)) for name in NAMES]
        for *rows, counts in over_blocks(users, settings.block_users, "pools", progress, block):
            blocks.append(counts)
            for file, part in zip(files, rows, strict=True):
                file.append(part)
    counts = np.concatenate(blocks)
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
