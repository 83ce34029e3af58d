"""Part 8: the samples from which training draws triplets, a few hundred numbers a user for any number of triplets.

CSR `positives`: the likes in training, without those of a user whose pools are both empty. CSR `hard` and `easy`:
`pool_sample` playlists of each pool (see trainer.dataset.negatives.triplets), uniform without replacement, or the whole
pool where it is smaller. toy_users.npy int32: the users of the toy set, ascending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.dataset.arrays import Growing
from spotify_buddies.trainer.reports.quantiles import describe
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]

Drawn = tuple[Array, Array, Array, Array, Array]

NAMES = ("positives", "hard", "easy")


def write_pools(
    directory: Path,
    blocks: Iterable[Drawn],
    playlists: int,
    toy: Array,
    settings: DataSettings,
    take: Callable[[Array], None],
) -> dict[str, Any]:
    """Write the three CSR (U, playlists) and toy_users.npy; the statistics of part 8.

    blocks: what `negatives_of_block` returns, of one block of users after the other; their triplets go to `take`. toy
    bool (U) marks the users of the toy set.
    """
    # So that a data set without users has an array to join.
    counted = [np.zeros((0, 6), np.int64)]
    with ExitStack() as stack:
        files = [stack.enter_context(Growing(directory / f"{name}.indices.npy", np.int32)) for name in NAMES]
        for *rows, counts, triplets in blocks:
            counted.append(counts)
            for file, part in zip(files, rows, strict=True):
                file.append(part)
            take(triplets)
    counts = np.concatenate(counted)
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
