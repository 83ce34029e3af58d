"""Part 9: each validation and test positive among negatives, for ranking.

Random: negatives from all playlists that are kept (liked by a warm user, or owned), not liked by the user in any part
of the split and not owned by the user; ones that were negatives in training are allowed. Hard: negatives from the
user's hard pool (see trainer.dataset.negatives.triplets), since random ones flatter every model; users whose pool is
too small are left out and counted. Within a row the negatives are distinct. A test positive that the user owns is left
out, because users never get their own playlists; a validation positive is owned by somebody else or nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.seeds import derive
from spotify_buddies.foundation.stages.blocks import THREADS, Blocks, Shared, read_only
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.trainer.dataset.arrays import Growing
from spotify_buddies.trainer.dataset.kernels import Tastes
from spotify_buddies.trainer.dataset.negatives.kernels import Labels, hard_batches, random_batches, thin
from spotify_buddies.trainer.dataset.negatives.pools import load_pools
from spotify_buddies.trainer.dataset.scoring import space_for
from spotify_buddies.trainer.dataset.table import IN_TEST, IN_VALIDATION, UNUSED
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]
Drawn = tuple[Array, Array, Array]

_PREFIXES = {IN_VALIDATION: "", IN_TEST: "test-"}


class Batching(NamedTuple):
    """What drawing the batches of a block reads. everybody int32: the playlists that may be a random negative."""

    tastes: Tastes
    labels: Labels
    everybody: Array
    negatives: int
    share: float
    random_seed: np.uint64
    hard_seed: np.uint64


def random_block(inputs: Batching, first: int, last: int) -> Drawn:
    """The random batches of users first..last, as `random_batches` says."""
    _, labels, everybody, negatives, _, seed, _ = inputs
    drawn: Drawn = random_batches(labels, first, last, negatives, everybody, seed, space_for(labels.owner.size))
    return drawn


def hard_block(inputs: Batching, first: int, last: int) -> Drawn:
    """The hard batches of users first..last, as `hard_batches` says."""
    tastes, labels, _, negatives, share, _, seed = inputs
    drawn: Drawn = hard_batches(tastes, labels, first, last, negatives, share, seed, space_for(labels.owner.size))
    return drawn


_DRAWS: dict[str, Callable[[Batching, int, int], Drawn]] = {"random": random_block, "hard": hard_block}


def write_batches(
    directory: Path, parts: Mapping[str, Path], settings: DataSettings, progress: Progress, blocks: Blocks = THREADS
) -> dict[str, Any]:
    """Write random.npy, hard.npy, test-random.npy, test-hard.npy: int32 (N, 2 + negatives), by user row.

    At most validation_rows of the positives of validation, and as many of the test, are taken: evenly over the likes in
    the order of users, so that a user has the same share of them as of all.

    parts: the directories of the stages 2-songs to 7-own under these names.
    """
    tastes, labels = load_pools(parts)
    # Thinned once, before the draws: random and hard batches begin from the same positives.
    past = _bound(labels.split, settings.validation_rows)
    inputs = Batching(
        tastes,
        labels._replace(split=read_only(labels.split)),
        read_only(np.flatnonzero(labels.offered).astype(np.int32)),
        settings.validation_negatives,
        settings.hard_pool,
        # Seeds apart: with one, the negatives of both kinds would be correlated.
        random_seed=np.uint64(derive(settings.seed, "batches/random")),
        hard_seed=np.uint64(derive(settings.seed, "batches/hard")),
    )
    statistics: dict[str, Any] = {"negatives": settings.validation_negatives}
    with blocks.share(inputs) as shared:
        for name in _DRAWS:
            statistics |= _write(directory, name, shared, labels.liked_ptr.size - 1, settings, progress)
    names = {part: f"{prefix.replace('-', '_')}left_out_past_the_limit" for part, prefix in _PREFIXES.items()}
    return statistics | {name: past[part] for part, name in names.items()}


def _bound(split: Array, most: int) -> dict[int, int]:
    """Leave at most `most` positives of validation and of test in the split, in place; how many were taken out."""
    totals = {part: int((split == part).sum()) for part in _PREFIXES}
    for part, total in totals.items():
        if total > most:
            thin(split, part, total, most, UNUSED)
    return {part: max(total - most, 0) for part, total in totals.items()}


def _write(
    directory: Path, name: str, shared: Shared[Batching], users: int, settings: DataSettings, progress: Progress
) -> dict[str, int]:
    missing = np.zeros((4, 2), np.int64)
    seen = np.zeros((4, users), bool)
    with ExitStack() as stack:
        files = {
            part: stack.enter_context(
                Growing(directory / f"{prefix}{name}.npy", np.int32, (2 + settings.validation_negatives,))
            )
            for part, prefix in _PREFIXES.items()
        }
        # Validation and test in one pass: finding a user's pool is the expensive part.
        for rows, parts, lost in shared.over(_DRAWS[name], users, settings.block_users, f"batches {name}", progress):
            missing += lost
            seen[parts, rows[:, 0]] = True
            for part, file in files.items():
                file.append(rows[parts == part])
    return {
        f"{prefix.replace('-', '_')}{name}_{what}": number
        for part, prefix in _PREFIXES.items()
        for what, number in {
            "positives": files[part].rows,
            "users": int(seen[part].sum()),
            "left_out_as_owned": int(missing[part, 0]),
            "left_out_with_too_few_negatives": int(missing[part, 1]),
        }.items()
    }
