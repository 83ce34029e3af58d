from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import Threads
from spotify_buddies.pairing.neighbours.nearest import nearest_users
from tests.pairing.conftest import clustered, csr, entries, same

libraries = st.lists(st.sets(st.integers(0, 14), max_size=9).map(sorted), max_size=12)


def brute_force(user_songs: Csr, k: int) -> tuple[list[list[int]], list[list[float]]]:
    """Every pair by hand: cosines as fractions of integers, best first, lower row first among equals."""
    sets = [set(row) for row in entries(user_songs)]
    rows, cosines = [], []
    for u, mine in enumerate(sets):
        scored = [
            (len(mine & theirs) ** 2 / len(theirs), v) for v, theirs in enumerate(sets) if v != u and mine & theirs
        ]
        best = sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:k]
        rows.append([v for _, v in best])
        cosines.append([(key / len(mine)) ** 0.5 for key, _ in best])
    return rows, cosines


def test_two_of_three_shared_songs_is_two_thirds():
    found = nearest_users(csr([[0, 1, 2], [1, 2, 3]], 4), 5, block_users=10)
    assert entries(found) == [[1], [0]]
    assert found.values is not None
    assert found.values.tolist() == pytest.approx([2 / 3, 2 / 3])
    assert found.values.dtype == np.float32


def test_equal_cosines_go_to_the_lower_row():
    found = nearest_users(csr([[0, 1], [1, 2], [0, 2], [0, 1]], 3), 3, block_users=10)
    assert entries(found)[0] == [3, 1, 2]


def test_a_larger_overlap_of_a_much_larger_library_is_not_nearer():
    # 1 / sqrt(2 * 1) = 0.71 against 2 / sqrt(2 * 16) = 0.35
    found = nearest_users(csr([[0, 1], [0], list(range(16))], 16), 1, block_users=10)
    assert entries(found)[0] == [1]


@pytest.mark.parametrize("rows", [[], [[]], [[], []], [[0]], [[0], [1]]])
def test_users_who_share_nothing_have_no_neighbours(rows: list[list[int]]):
    found = nearest_users(csr(rows, 2), 10, block_users=1)
    assert entries(found) == [[] for _ in rows]


def test_more_neighbours_than_users_are_never_returned():
    found = nearest_users(csr([[0], [0], [0]], 1), 10_000, block_users=2)
    assert entries(found) == [[1, 2], [0, 2], [0, 1]]


@settings(max_examples=60, deadline=None)
@given(rows=libraries, k=st.integers(1, 12), block=st.integers(1, 5))
def test_every_answer_is_what_brute_force_gives(rows: list[list[int]], k: int, block: int):
    matrix = csr(rows, 15)
    found = nearest_users(matrix, k, block_users=block)
    expected, cosines = brute_force(matrix, k)
    assert entries(found) == expected
    assert found.values is not None
    np.testing.assert_allclose(found.values, np.concatenate([[], *cosines]), rtol=1e-6)


def test_blocks_and_threads_change_nothing():
    matrix = clustered(700, 900, 9, seed=1)
    whole = nearest_users(matrix, 30, block_users=10_000, blocks=Threads(1))
    for block, threads in [(1, 2), (13, 3), (64, 4)]:
        assert same(whole, nearest_users(matrix, 30, block_users=block, blocks=Threads(threads)))


def test_chosen_rows_get_the_answers_they_get_among_all():
    matrix = clustered(120, 300, 5, seed=2)
    whole = nearest_users(matrix, 20, block_users=50)
    some = nearest_users(matrix, 20, block_users=7, rows=np.array([90, 3, 3]))
    assert entries(some) == [entries(whole)[i] for i in (90, 3, 3)]


def test_progress_counts_up_to_all_users():
    seen: list[int] = []

    def note(what: str, done: int, total: int, unit: str = "items") -> None:
        seen.append(done)

    nearest_users(clustered(100, 100, 2, seed=3), 5, block_users=9, progress=note)
    assert seen == sorted(seen)
    assert seen[-1] == 100


def test_an_interrupt_between_blocks_gets_out():
    def interrupt(what: str, done: int, total: int, unit: str = "items") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nearest_users(clustered(200, 100, 2, seed=3), 5, block_users=5, progress=interrupt)


@pytest.mark.parametrize("longest", [300, 70_000])
def test_counters_of_every_width_and_users_in_many_blocks_give_what_products_give(longest: int):
    # Libraries above 255 songs are counted in two bytes, above 65,535 in four.
    rng = np.random.default_rng(5)
    songs = 2 * longest
    sizes = np.minimum((rng.pareto(1.1, 900) + 1).astype(int) * 2, 290)
    rows = [np.unique((songs * rng.random(size) ** 6).astype(int)).tolist() for size in sizes]
    rows[3] = list(range(longest))
    rows[700] = list(range(longest // 2, longest))
    rows[5] = []
    matrix = csr(rows, songs)
    shared = (matrix.to_scipy() @ matrix.to_scipy().T).toarray().astype(np.float64)
    keys = shared**2 / np.maximum(matrix.counts, 1)
    np.fill_diagonal(keys, 0)
    for k in (1, 40, 899):
        found = nearest_users(matrix, k, block_users=100)
        for user in range(matrix.rows):
            # Stable: of equal keys the lower row comes first.
            best = np.argsort(-keys[user], kind="stable")[:k]
            np.testing.assert_array_equal(found.row(user), best[keys[user][best] > 0])


def test_users_who_are_not_listed_are_found_by_nobody_and_have_their_own_answers():
    matrix = clustered(150, 300, 5, seed=3)
    listed = np.arange(150) % 3 > 0
    found = nearest_users(matrix, 10, block_users=20, listed=listed)
    assert listed[found.indices].all()
    whole = nearest_users(matrix, 149, block_users=20)
    for user in range(150):
        row = whole.row(user)
        np.testing.assert_array_equal(found.row(user), row[listed[row]][:10])
