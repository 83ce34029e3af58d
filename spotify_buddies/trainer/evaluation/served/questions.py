"""The questions: who asks, what they should get, and what they may not get again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.table import COLD, IN_TEST, IN_TRAIN, IN_VALIDATION, WARM, Dataset
from spotify_buddies.trainer.metrics.lists import rows_of

Array = npt.NDArray[Any]

# People of one set of questions; more move a figure by less than its interval.
PEOPLE = 20_000


@dataclass(frozen=True)
class Questions:
    """n people. users int32 (n,): their rows; None: strangers, who are asked by their songs (n, S) alone.

    wanted (n, P), ascending: at least one playlist each. seen (n, P), ascending: must not come back.
    """

    users: Array | None
    songs: Csr
    wanted: Csr
    seen: Csr

    def __len__(self) -> int:
        return self.wanted.rows


def questions_of_likes(data: Dataset, most: int = PEOPLE) -> dict[str, Questions]:
    """Held-out likes of a data set: "<labels>-validation", "<labels>-test" and "<labels>-cold", those with anybody.

    labels: "likes" where they were simulated from songs, "follows" where people gave them. Warm users ask for the likes
    that training did not see; what it saw is theirs already and must not come back: a service excludes what a user has
    liked. For the test the validation likes too. Nor what people dislike, where the data set says it. Cold users
    ask for all their likes. Playlists of one's own are never wanted. Of more than `most` people these are evenly
    spread.
    """
    labels = "follows" if getattr(data, "labels", "simulated") == "follows" else "likes"
    split = np.asarray(data.split)
    train, validation = split == IN_TRAIN, split == IN_VALIDATION
    sets = {
        "validation": _ask(data, WARM, validation, train, most),
        "test": _ask(data, WARM, split == IN_TEST, train | validation, most),
        "cold": _ask(data, COLD, np.ones(split.size, np.bool_), np.zeros(split.size, np.bool_), most),
    }
    return {f"{labels}-{name}": questions for name, questions in sets.items() if len(questions)}


def _ask(data: Dataset, kind: int, wanted: Array, seen: Array, most: int) -> Questions:
    likes = data.liked
    own = np.asarray(data.owner)[likes.indices] == rows_of(likes)
    asked_for = some(likes, wanted & ~own)
    people = spread(np.flatnonzero((asked_for.counts > 0) & (np.asarray(data.user_kind) == kind)), most)
    refused = _with_disliked(some(likes, seen).take(people), data, people)
    return Questions(people.astype(np.int32), data.user_songs.take(people), asked_for.take(people), refused)


def _with_disliked(seen: Csr, data: Dataset, people: Array) -> Csr:
    disliked: Csr | None = getattr(data, "disliked", None)
    if disliked is None or not disliked.nnz:
        return seen
    both = [np.union1d(seen.row(i), disliked.row(user)) for i, user in enumerate(people.tolist())]
    return Csr.from_rows(both, seen.columns)


def some(rows: Csr, chosen: Array) -> Csr:
    """The chosen entries, bool (nnz,), each row ascending, without values."""
    row, columns = rows_of(rows)[chosen], np.asarray(rows.indices)[chosen]
    order = np.lexsort((columns, row))
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(row, minlength=rows.rows))])
    return Csr(indptr, columns[order], rows.columns)


def spread(rows: Array, most: int) -> Array:
    """At most `most` of the rows, evenly spread, in their order."""
    if rows.size <= most:
        return rows
    chosen: Array = rows[np.linspace(0, rows.size - 1, most).astype(np.int64)]
    return chosen


def nothing(rows: int, columns: int) -> Csr:
    """Rows without an entry."""
    return Csr(np.zeros(rows + 1, np.int64), np.empty(0, np.int32), columns)
