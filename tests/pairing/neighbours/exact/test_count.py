from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.exact.count import ExactCount
from spotify_buddies.pairing.neighbours.exact.kernels import LANES, SPAN
from tests.pairing.conftest import clustered, csr

Array = npt.NDArray[Any]
Answers = list[list[tuple[int, float]]]

# The listeners that a search is told of decide the way; the answers must be the same.
LIGHT, HEAVY = 0, 10**9

libraries = st.lists(st.sets(st.integers(0, 14), max_size=9).map(sorted), min_size=1, max_size=12)


def exact_of(users: Csr) -> ExactCount:
    return ExactCount.of(users, users.transpose())


def nearest(exact: ExactCount, tastes: Csr, k: int, work: int = HEAVY) -> Answers:
    out = (
        np.zeros(tastes.rows, np.int64),
        np.zeros((tastes.rows, k), np.int32),
        np.zeros((tastes.rows, k), np.float32),
    )
    exact.nearest(tastes, np.arange(tastes.rows), np.full(tastes.rows, work), k, out)
    counts, users, cosines = (array.tolist() for array in out)
    return [list(zip(users[i][: counts[i]], cosines[i][: counts[i]], strict=True)) for i in range(tastes.rows)]


def by_hand(users: list[list[int]], taste: list[int], k: int) -> list[int]:
    """Users who share a song, best first, lower row first among equals; keys are fractions of integers."""
    shared = {row: len(set(taste) & set(songs)) for row, songs in enumerate(users)}
    met = [row for row in shared if shared[row]]
    return sorted(met, key=lambda row: (-(shared[row] ** 2) / len(users[row]), row))[:k]


@pytest.mark.parametrize("work", [LIGHT, HEAVY])
def test_two_of_three_and_one_of_one(work: int):
    found = nearest(exact_of(csr([[0, 1, 2], [], [5], [4]], 6)), csr([[1, 2, 4]], 6), 3, work)
    # 2 shared of 3 and 3: 2 / 3; 1 shared of 3 and 1: 1 / sqrt(3)
    assert [user for user, _ in found[0]] == [0, 3]
    assert [cosine for _, cosine in found[0]] == pytest.approx([2 / 3, 3**-0.5])


@settings(max_examples=100, deadline=None)
@given(users=libraries, taste=st.sets(st.integers(0, 14)).map(sorted), k=st.integers(1, 5))
def test_both_ways_find_what_counting_by_hand_finds(users: list[list[int]], taste: list[int], k: int):
    exact = exact_of(csr(users, 15))
    for work in (LIGHT, HEAVY):
        found = nearest(exact, csr([taste], 15), k, work)
        assert [user for user, _ in found[0]] == by_hand(users, taste, k)


@pytest.mark.parametrize("k", [1, 20, LANES, 2 * LANES + 1])
def test_groups_find_what_a_second_walk_finds_over_several_spans(k: int):
    users = clustered(2 * SPAN + 77, 3_000, 20, seed=3)
    exact = exact_of(users)
    tastes = csr([users.row(row).tolist()[::2] for row in range(0, users.rows, 250)], users.columns)
    answers = nearest(exact, tastes, k)
    assert answers == nearest(exact, tastes, k, LIGHT)
    # The counters are as they were: a second search gives the same.
    assert answers == nearest(exact, tastes, k)


@pytest.mark.parametrize("work", [LIGHT, HEAVY])
def test_of_users_who_are_equally_near_the_first_rows_are_taken(work: int):
    # In the second span of users too; the rows before share nothing, or are nearer.
    users = csr([[1]] * 3 + [[2]] * SPAN + [[0, 1], [0], [0, 1]] * 100, 3)
    found = nearest(exact_of(users), csr([[0, 1]], 3), 220, work)[0]
    twins = [row for row in range(users.rows) if users.row(row).tolist() == [0, 1]]
    singles = [row for row in range(users.rows) if users.row(row).tolist() in ([0], [1])]
    assert [user for user, _ in found] == [*twins, *singles[:20]]


def test_nearer_by_less_than_a_rounded_key_shows_is_nearer():
    # 87 * 87 / 3995 is more than 82 * 82 / 3549 by 1 / (3995 * 3549), but rounded to 24 bits it is less.
    assert 87 * 87 * 3549 - 82 * 82 * 3995 == 1
    near, far = (np.float32(m * m) * np.float32(1 / n) for m, n in ((87, 3995), (82, 3549)))
    assert near < far
    farther, closer = ([*range(m), *range(100, 100 + n - m)] for m, n in ((82, 3549), (87, 3995)))
    found = nearest(exact_of(csr([farther, closer], 4_100)), csr([list(range(87))], 4_100), 1)
    assert found[0][0][0] == 1


@pytest.mark.parametrize("work", [LIGHT, HEAVY])
@pytest.mark.parametrize("songs", [65_535, 65_536, 70_000])
def test_sets_longer_than_two_bytes_count_are_counted(songs: int, work: int):
    users = csr([list(range(songs)), list(range(100))], songs)
    found = nearest(exact_of(users), csr([list(range(songs))], songs), 2, work)
    assert [user for user, _ in found[0]] == [0, 1]
    assert [cosine for _, cosine in found[0]] == pytest.approx([1.0, (100 / songs) ** 0.5])


@pytest.mark.parametrize("work", [LIGHT, HEAVY])
def test_nobody_is_near_an_empty_taste_and_one_of_unheard_songs(work: int):
    exact = exact_of(csr([[0], [], [0, 1]], 4))
    assert nearest(exact, csr([[], [2, 3], [1, 3]], 4), 2, work)[:2] == [[], []]


def test_only_the_rows_that_are_named_are_written():
    exact = exact_of(csr([[0], [1]], 2))
    out = (np.full(3, 7, np.int64), np.full((3, 1), 7, np.int32), np.full((3, 1), 7, np.float32))
    exact.nearest(csr([[0], [0], [1]], 2), np.array([2, 0]), np.array([LIGHT, HEAVY]), 1, out)
    assert out[0].tolist() == [1, 7, 1]
    assert out[1].ravel().tolist() == [0, 7, 1]
    assert out[2].ravel().tolist() == [1.0, 7.0, 1.0]


def test_threads_share_no_counters():
    users = clustered(3_000, 2_000, 10, seed=8)
    exact = exact_of(users)
    tastes = [csr([users.row(row).tolist()], users.columns) for row in range(0, 3_000, 50)]
    alone = [nearest(exact, taste, 10) for taste in tastes]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda taste: nearest(exact, taste, 10), tastes)) == alone
