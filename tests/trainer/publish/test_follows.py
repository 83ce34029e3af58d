"""Follows in a bundle: who is beside whom, worked by hand and against a plain count; what nobody gets again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.table import FOLLOWS, IN_TEST, IN_TRAIN, SIMULATED
from spotify_buddies.trainer.publish.follows import find_co_followers, follows_of

LIKED = Csr.from_rows([[2, 0], [0, 1], []], 4)
SPLIT = np.array([IN_TRAIN, IN_TRAIN, IN_TRAIN, IN_TEST], np.uint8)


@dataclass
class Said:
    """The part of a data set that is read: three users, four playlists."""

    labels: str
    disliked: Csr
    feedback_alone: bool = False
    liked: Csr = field(default_factory=lambda: LIKED)
    split: Any = field(default_factory=lambda: SPLIT)


def rows_of(rows: Csr | None) -> list[list[int]]:
    assert rows is not None
    return [rows.row(row).tolist() for row in range(rows.rows)]


NOBODY = Csr.from_rows([[], [], []], 4)
SOME = Csr.from_rows([[3], [], [0, 1]], 4)


def test_real_follows_of_training_are_told_and_refused_with_the_dislikes() -> None:
    found = follows_of(Said(FOLLOWS, SOME))  # type: ignore[arg-type]
    assert rows_of(found.followed) == [[0, 2], [0], []]
    assert rows_of(found.co_followers) == [[1], [0], []]
    assert rows_of(found.refused) == [[0, 2, 3], [0], [0, 1]]
    assert rows_of(follows_of(Said(FOLLOWS, NOBODY)).refused) == [[0, 2], [0], []]  # type: ignore[arg-type]


def test_likes_that_are_feedback_alone_may_come_back() -> None:
    found = follows_of(Said(FOLLOWS, SOME, feedback_alone=True))  # type: ignore[arg-type]
    assert rows_of(found.followed) == [[0, 2], [0], []]
    assert rows_of(found.refused) == rows_of(SOME)
    assert follows_of(Said(FOLLOWS, NOBODY, feedback_alone=True)).refused is None  # type: ignore[arg-type]


def test_simulated_likes_are_nobodys_follows_and_dislikes_are_refused_all_the_same() -> None:
    found = follows_of(Said(SIMULATED, SOME))  # type: ignore[arg-type]
    assert (found.followed, found.co_followers) == (None, None)
    assert rows_of(found.refused) == rows_of(SOME)
    assert follows_of(Said(SIMULATED, NOBODY)).refused is None  # type: ignore[arg-type]


def test_the_nearest_come_first_by_cosine_and_of_equal_ones_the_lower_row() -> None:
    """User 0 follows 0, 1, 2. Cosines: user 1 2/sqrt(6), user 2 1/sqrt(3), user 3 2/sqrt(6), user 4 0, user 5 1/3."""
    followed = Csr.from_rows([[0, 1, 2], [0, 1], [2], [1, 2], [5], [0, 3, 4]], 6)
    assert rows_of(find_co_followers(followed))[0] == [1, 3, 2, 5]
    assert rows_of(find_co_followers(followed, most=2))[0] == [1, 3]
    assert rows_of(find_co_followers(followed))[4] == []


def test_a_playlist_that_too_many_follow_joins_nobody() -> None:
    followed = Csr.from_rows([[0, 1], [0], [0, 1]], 2)
    assert rows_of(find_co_followers(followed)) == [[2, 1], [0, 2], [0, 1]]
    assert rows_of(find_co_followers(followed, at_most=2)) == [[2], [], [0]]


@pytest.mark.parametrize("users", [0, 1])
def test_nobody_and_one_have_nobody_beside_them(users: int) -> None:
    found = find_co_followers(Csr.from_rows([[0]] * users, 1))
    assert (found.rows, found.columns, found.nnz) == (users, users, 0)


def test_any_follows_give_what_a_plain_count_gives() -> None:
    rng = np.random.default_rng(5)
    sets = [set(rng.choice(30, rng.integers(0, 9), replace=False).tolist()) for _ in range(80)]
    found = rows_of(find_co_followers(Csr.from_rows([sorted(s) for s in sets], 30), most=7))
    for user, mine in enumerate(sets):
        cosine = {
            other: len(mine & theirs) / np.sqrt(len(mine) * len(theirs))
            for other, theirs in enumerate(sets)
            if other != user and mine & theirs
        }
        # Rounded: the kernel's cosines are float32.
        expected = sorted(cosine, key=lambda other: (-round(float(np.float32(cosine[other])), 6), other))[:7]
        assert found[user] == expected
