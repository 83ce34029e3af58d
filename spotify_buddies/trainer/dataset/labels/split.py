"""Part 6: the kept users, the cold ones among them, and the use of each like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import derive
from spotify_buddies.foundation.arrays.streams import hash_rows
from spotify_buddies.trainer.dataset.labels.follows import real_labels
from spotify_buddies.trainer.dataset.labels.kernels import split_likes
from spotify_buddies.trainer.dataset.table import COLD, IN_TEST, IN_TRAIN, IN_VALIDATION, NOT_SAMPLED, UNUSED, WARM
from spotify_buddies.trainer.reports.quantiles import describe
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]


def split_users(
    directory: Path, liked_in: Path, songs: Path, settings: DataSettings, matrix: Path | None = None
) -> dict[str, Any]:
    """Write user_kind.npy uint8 (U), split.npy uint8 (likes) and playlist_kept.npy bool (P).

    Of the users the round(sample * U) with the lowest hash are kept; of these the round(cold * kept) with the lowest
    other hash are cold. The n likes of a warm user are put in the order of a hash: the first floor(7 n / 10) are for
    training, those up to floor(9 n / 10) for validation, the rest for the test; with fewer than min_liked_to_split all
    are for training. A playlist is kept when a warm user likes it or when it names its owner.

    Where part 3's directory `matrix` holds follows, their use is decided there, only users with a library beside them
    may be cold, since nothing else is known of a user whose follows are held out, and every playlist with a song is
    kept: one that nobody follows yet can be recommended.
    """
    liked = Csr.load(liked_in, "liked")
    follows = None if matrix is None else real_labels(matrix)
    kind = user_kinds(liked.rows, settings, None if follows is None else follows.library)
    indptr, indices = np.asarray(liked.indptr), np.asarray(liked.indices)
    kept = np.load(songs / "named_owner.npy") >= 0
    if follows is None or matrix is None:
        split = np.empty(liked.nnz, np.uint8)
        seed = np.uint64(derive(settings.seed, "split"))
        split_likes(seed, indptr, indices, kind == WARM, settings.min_liked_to_split, split)
    else:
        split = np.where(np.repeat(kind == WARM, liked.counts), follows.use, np.uint8(UNUSED))
        kept |= Csr.load(matrix, "playlist_songs").counts > 0
    # Likes of a user who is cold or not sampled are UNUSED and keep nothing.
    kept[indices[split <= IN_TEST]] = True
    np.save(directory / "user_kind.npy", kind)
    np.save(directory / "split.npy", split)
    np.save(directory / "playlist_kept.npy", kept)
    counts = liked.counts[kind == WARM]
    return {
        "users_not_sampled": int((kind == NOT_SAMPLED).sum()),
        "warm_users": int((kind == WARM).sum()),
        "cold_users": int((kind == COLD).sum()),
        "warm_users_without_likes": int((counts == 0).sum()),
        "warm_users_with_too_few_likes_to_split": int(((counts > 0) & (counts < settings.min_liked_to_split)).sum()),
        "train": int((split == IN_TRAIN).sum()),
        "validation": int((split == IN_VALIDATION).sum()),
        "test": int((split == IN_TEST).sum()),
        "liked_per_warm_user": describe(counts[counts > 0]),
        "playlists_kept": int(kept.sum()),
    }


def user_kinds(users: int, settings: DataSettings, may_be_cold: Array | None = None) -> Array:
    """NOT_SAMPLED, WARM or COLD for every user row, uint8 (U). Both draws are exact in number.

    may_be_cold bool (U): the users of whom the cold are drawn; None: all.
    """
    # By hash of the row, not a draw in sequence: a larger share contains the users of a smaller one.
    kept = _lowest(np.arange(users), settings.sample_users, derive(settings.seed, "sample"), users)
    of = kept if may_be_cold is None else kept[may_be_cold[kept]]
    cold = _lowest(of, settings.cold_users, derive(settings.seed, "cold"), users)
    kind = np.full(users, NOT_SAMPLED, np.uint8)
    kind[kept] = WARM
    kind[cold] = COLD
    return kind


def _lowest(rows: Array, share: float, seed: int, users: int) -> Array:
    hashes = hash_rows(np.uint64(seed), users)[rows]
    return np.sort(rows[np.argsort(hashes, kind="stable")[: round(share * rows.size)]])
