"""Users of a data set with likes that training has not seen, which are what they truly like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

TRAIN, VALIDATION, TEST = 0, 1, 2
# The most that a request may exclude.
MOST_KNOWN = 1_000


class AudienceError(Exception):
    """The data set cannot be used; the message names the file and what to do."""


@dataclass(frozen=True)
class SimulatedUser:
    """user_id: in the data set. likes: playlists of the test split. known: liked ones that training saw, best first.

    Of a data set whose given split has no test, likes are those of validation.
    """

    user_id: str
    likes: frozenset[str]
    known: tuple[str, ...]


class Audience:
    """The users with test likes; the files are mapped, so that little of a large data set is read."""

    def __init__(self, users: Any, playlists: Any, indptr: Array, indices: Array, split: Array) -> None:
        self._users, self._playlists = users, playlists
        self._indptr, self._indices, self._split = indptr, indices, split
        # Validation counts as seen, since training stopped by it, unless there is nothing else to like.
        self._held = TEST if (split == TEST).any() else VALIDATION
        self._likes = np.flatnonzero(split == self._held)
        if not self._likes.size:
            raise AudienceError("the data set has no test likes; build it from more users or playlists")

    def draw(self, rng: np.random.Generator) -> SimulatedUser:
        """A user by one of the test likes, each as likely: a user with more likes comes more often."""
        like = int(self._likes[rng.integers(self._likes.size)])
        return self.user(int(np.searchsorted(self._indptr, like, side="right")) - 1)

    def user(self, row: int) -> SimulatedUser:
        """The user of a row."""
        known, likes = map(self._names, self.rows_of(row))
        return SimulatedUser(self._users[row], frozenset(likes), tuple(known))

    def rows_of(self, row: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The rows of the playlists that a user likes: those that training saw, best first, and the others."""
        span = slice(int(self._indptr[row]), int(self._indptr[row + 1]))
        liked, split = self._indices[span], self._split[span]
        known, held = liked[split < self._held][:MOST_KNOWN], liked[split == self._held]
        return tuple(known.tolist()), tuple(held.tolist())

    @cached_property
    def size(self) -> int:
        """Users that may be drawn."""
        return int(np.unique(np.searchsorted(self._indptr, self._likes, side="right")).size)

    def _names(self, rows: Sequence[int]) -> list[str]:
        return [self._playlists[row] for row in rows]


def open_audience(dataset: Path) -> Audience:
    """Open a finished data set (docs/formats.md). AudienceError: it is not one."""
    import polars as pl

    try:
        likes = {
            part: np.load(dataset / "5-liked" / f"liked.{part}.npy", mmap_mode="r") for part in ("indptr", "indices")
        }
        split = np.load(dataset / "6-split" / "split.npy", mmap_mode="r")
        users = pl.read_parquet(dataset / "2-songs" / "users.parquet", columns=["user_id"])["user_id"]
        playlists = pl.read_parquet(dataset / "2-songs" / "playlists.parquet", columns=["playlist_id"])["playlist_id"]
    except FileNotFoundError as error:
        raise AudienceError(
            f"{error.filename or dataset}: not there; run `buddies data build`, or name a data set with --dataset"
        ) from error
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise AudienceError(
            f"{dataset}: not readable as a data set: {error}; run `buddies data build` again"
        ) from error
    if likes["indptr"].size != len(users) + 1 or likes["indices"].size != split.size:
        raise AudienceError(f"{dataset}: its parts do not fit each other; run `buddies data build` again")
    return Audience(users, playlists, likes["indptr"], likes["indices"], split)
