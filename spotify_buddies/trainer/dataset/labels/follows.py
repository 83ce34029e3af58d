"""Real labels: who follows and dislikes what, and the use of each follow, decided by time where there are times.

`cut`: follows up to a moment are for training, those up to a later moment for validation, the rest for the test, for
all users alike; the moments leave 70 % and 90 % of the timed follows before them. It is what `auto` takes where there
are times: a model that learned from other people's later follows knows of a time that a service cannot know (Ji et al.
2023). `user`: the same shares of each user's own follows in the order of time. `random`: of each user's follows in the
order of a hash. Follows without a time count as the oldest. A given split (AttList) stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import derive
from spotify_buddies.trainer.dataset.kernels import group
from spotify_buddies.trainer.dataset.labels.kernels import split_likes
from spotify_buddies.trainer.dataset.reading.interactions import DISLIKE, FILE, FOLLOW, NO_PART, NO_TIME
from spotify_buddies.trainer.dataset.table import IN_TEST, IN_TRAIN, IN_VALIDATION, UNUSED
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]


class Pairs(NamedTuple):
    """Users, playlists int32, times int64 (NO_TIME where unknown), weights float32, parts uint8 (or NO_PART)."""

    users: Array
    playlists: Array
    times: Array
    weights: Array
    parts: Array

    def only(self, chosen: Array) -> Pairs:
        """Those that bool (n,) marks, or int64 lists, in its order."""
        return Pairs(*(column[chosen] for column in self))


@dataclass(frozen=True)
class Follows:
    """Real labels by user. followed (U, P): weights, largest first, ties by playlist row; use uint8, one per entry
    (IN_TRAIN, IN_VALIDATION, IN_TEST, UNUSED). disliked (U, P): ascending; early bool, one per entry: the dislike lies
    in the time of training. library bool (U): the user has songs beside those of followed playlists.
    """

    followed: Csr
    use: Array
    disliked: Csr
    early: Array
    library: Array

    @property
    def real(self) -> bool:
        """Whether anybody follows anything; without, likes are simulated, and only what is disliked is kept out."""
        return self.followed.nnz > 0

    def save(self, directory: Path) -> None:
        """Write CSR followed and disliked, followed_use.npy, disliked_early.npy and library.npy."""
        self.followed.save(directory, "followed")
        self.disliked.save(directory, "disliked")
        np.save(directory / "followed_use.npy", self.use)
        np.save(directory / "disliked_early.npy", self.early)
        np.save(directory / "library.npy", self.library)

    def of_training(self) -> Csr:
        """The follows of training (U, P), binary."""
        kept = self.use == IN_TRAIN
        rows = np.repeat(np.arange(self.followed.rows, dtype=np.int32), self.followed.counts)
        indptr, indices = group(rows[kept], np.asarray(self.followed.indices)[kept], self.followed.rows)
        return Csr(indptr, indices, self.followed.columns)

    def early_dislikes(self) -> Csr:
        """The dislikes in the time of training (U, P), ascending."""
        rows = np.repeat(np.arange(self.disliked.rows, dtype=np.int32), self.disliked.counts)
        indptr, indices = group(rows[self.early], np.asarray(self.disliked.indices)[self.early], self.disliked.rows)
        return Csr(indptr, indices, self.disliked.columns)


def load_follows(matrix: Path) -> Follows | None:
    """What part 3 saved in its directory; None where nobody said what they follow."""
    if not (matrix / "followed_use.npy").exists():
        return None
    return Follows(
        followed=Csr.load(matrix, "followed"),
        use=np.load(matrix / "followed_use.npy"),
        disliked=Csr.load(matrix, "disliked"),
        early=np.load(matrix / "disliked_early.npy"),
        library=np.load(matrix / "library.npy"),
    )


def real_labels(matrix: Path) -> Follows | None:
    """What part 3 saved in its directory; None where nobody follows anything."""
    follows = load_follows(matrix)
    return follows if follows is not None and follows.real else None


def read_follows(
    raw: Path, owner: Array, library: Array, settings: DataSettings
) -> tuple[Follows, dict[str, Any]] | None:
    """The real labels of part 1's directory, and their statistics; None where there are none.

    owner int32 (P): the owner that a playlist names, -1 for none. library bool (U). A follow of one's own playlist is
    no label. A follow for validation or the test is UNUSED where the user has no library and follows nothing in
    training: nothing is known then of which a model could judge.
    """
    if not (raw / FILE).exists():
        return None
    table = pl.read_parquet(raw / FILE)
    follows, dislikes = _pairs(table.filter(kind=FOLLOW)), _pairs(table.filter(kind=DISLIKE))
    own = owner[follows.playlists] == follows.users
    follows = follows.only(~own)
    follows = follows.only(np.lexsort((follows.playlists, -follows.weights, follows.users)))
    how = _way(follows, settings)
    use, last = _uses(follows, library.size, how, settings)
    started = library.copy()
    started[follows.users[use == IN_TRAIN]] = True
    unknown = ~started[follows.users] & (use != IN_TRAIN)
    use[unknown] = UNUSED
    found = Follows(
        followed=_matrix(follows, library.size, owner.size, values=True),
        use=use,
        disliked=_matrix(dislikes, library.size, owner.size),
        early=dislikes.times <= last[dislikes.users],
        library=library,
    )
    return found, {
        "follow_split": how,
        "follows_of_own_playlists": int(own.sum()),
        "held_out_follows_of_users_nothing_is_known_of": int(unknown.sum()),
        "users_with_follows_alone": int(np.unique(follows.users[~library[follows.users]]).size),
        "users_who_follow": int(np.unique(follows.users).size),
        "disliked": int(found.disliked.nnz),
    }


def _pairs(table: pl.DataFrame) -> Pairs:
    return Pairs(
        table["user"].to_numpy(),
        table["playlist"].to_numpy(),
        table["at"].fill_null(NO_TIME).to_numpy(),
        table["weight"].to_numpy(),
        table["part"].fill_null(NO_PART).to_numpy(),
    )


def _matrix(pairs: Pairs, users: int, playlists: int, *, values: bool = False) -> Csr:
    indptr, indices = group(pairs.users, pairs.playlists, users)
    # The pairs come by user, so that weights already lie as the entries do.
    return Csr(indptr, indices, playlists, pairs.weights if values else None)


def _way(follows: Pairs, settings: DataSettings) -> str:
    if (follows.parts != NO_PART).any():
        return "given"
    if settings.follow_split != "auto":
        return settings.follow_split
    return "cut" if (follows.times != NO_TIME).any() else "random"


def _uses(follows: Pairs, users: int, how: str, settings: DataSettings) -> tuple[Array, Array]:
    """The use of each follow, uint8; for each user the last moment of training, int64 (U), past all where unknown."""
    forever = np.full(users, np.iinfo(np.int64).max)
    if how == "given":
        # Follows from tables beside a given split have no part, and are known.
        return np.where(follows.parts == NO_PART, IN_TRAIN, follows.parts).astype(np.uint8), forever
    if how == "cut":
        first, second = _moments(follows.times[follows.times != NO_TIME])
        use = np.where(follows.times <= first, IN_TRAIN, np.where(follows.times <= second, IN_VALIDATION, IN_TEST))
        return use.astype(np.uint8), np.full(users, first)
    use = np.empty(follows.users.size, np.uint8)
    ptr, liked = group(follows.users, follows.playlists, users)
    if how == "random":
        everybody = np.ones(users, np.bool_)
        seed = np.uint64(derive(settings.seed, "split"))
        split_likes(seed, ptr, liked, everybody, settings.min_liked_to_split, use)
        return use, forever
    order = np.lexsort((follows.playlists, follows.times, follows.users))
    place, n = np.arange(order.size) - np.repeat(ptr[:-1], np.diff(ptr)), np.repeat(np.diff(ptr), np.diff(ptr))
    ordered = np.where(place < 7 * n // 10, IN_TRAIN, np.where(place < 9 * n // 10, IN_VALIDATION, IN_TEST))
    use[order] = np.where(n < settings.min_liked_to_split, IN_TRAIN, ordered)
    last = np.full(users, np.int64(NO_TIME))
    np.maximum.at(last, follows.users[use == IN_TRAIN], follows.times[use == IN_TRAIN])
    return use, np.where(last == NO_TIME, forever, last)


def _moments(times: Array) -> tuple[int, int]:
    """The last moments of training and of validation. All of one moment stay together, on the earlier side."""
    if not times.size:
        return int(np.iinfo(np.int64).max), int(np.iinfo(np.int64).max)
    ordered = np.sort(times)
    n = ordered.size
    return int(ordered[max(7 * n // 10, 1) - 1]), int(ordered[max(9 * n // 10, 1) - 1])
