from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.nearest import nearest_users
from spotify_buddies.pairing.selection.select import reachable, select
from spotify_buddies.pairing.settings import PairingSettings
from tests.pairing.conftest import clustered, csr, entries, same


def ranked(rows: list[list[int]], users: int) -> Csr:
    """Nearest users in the order given, with falling cosines."""
    matrix = csr(rows, users)
    values = np.concatenate([np.empty(0), *[np.linspace(0.9, 0.1, len(row)) for row in rows]]).astype(np.float32)
    return Csr(matrix.indptr, matrix.indices, users, values)


def owners(counts: list[int]) -> Csr:
    """User i owns counts[i] playlists, numbered on."""
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Csr(starts, np.arange(starts[-1], dtype=np.int32), max(int(starts[-1]), 1))


def one_user(owned_counts: list[int], **changes: int) -> tuple[list[int], list[int], Csr]:
    """Select for user 0 whose nearest are users 1, 2, ..; returns the neighbours, the candidates and who owns what."""
    count = len(owned_counts)
    owned = owners(owned_counts)
    nearest = ranked([list(range(1, count))] + [[] for _ in range(count - 1)], count)
    chosen = select(nearest, owned, PairingSettings(**changes))
    return chosen.neighbours.row(0).tolist(), chosen.candidates.row(0).tolist(), owned


def test_only_users_who_own_playlists_are_kept():
    neighbours, candidates, _ = one_user([0, 0, 2, 0, 1])
    assert neighbours == [2, 4]
    assert candidates == [0, 1, 2]


def test_fifty_are_kept_when_they_bring_enough():
    neighbours, candidates, _ = one_user([0] + [1] * 100)
    assert len(neighbours) == 50
    assert len(candidates) == 50


def test_more_than_fifty_only_while_playlists_are_missing():
    # Ten neighbours bring ten playlists; twenty playlists need twenty of the hundred.
    neighbours, candidates, _ = one_user([0] + [1] * 100, neighbours=10)
    assert len(neighbours) == 20
    assert len(candidates) == 20


def test_neighbours_past_the_nearest_hundred_are_not_looked_at():
    neighbours, _, _ = one_user([0] + [1] * 200, neighbours=200)
    assert len(neighbours) == 100
    assert max(neighbours) == 100


def test_the_visiting_order_is_random_and_not_by_similarity():
    neighbours, _, _ = one_user([0] + [1] * 100)
    assert neighbours == sorted(neighbours), "most similar first"
    assert neighbours != list(range(1, 51)), "not simply the fifty most similar"


def test_every_one_of_the_nearest_is_kept_about_half_of_the_time():
    times = np.zeros(101)
    for seed in range(200):
        neighbours, _, _ = one_user([0] + [1] * 100, seed=seed)
        times[neighbours] += 1
    assert times[1:].min() > 70, "200 coins fall below 70 heads once in 50,000"
    assert times[1:].max() < 130


def test_users_visit_in_orders_of_their_own():
    nearest = ranked([list(range(2, 102)), list(range(2, 102))] + [[] for _ in range(100)], 102)
    chosen = select(nearest, owners([0, 0] + [1] * 100), PairingSettings())
    assert chosen.neighbours.row(0).tolist() != chosen.neighbours.row(1).tolist()


def test_at_most_seventy_five_candidates_sampled_from_all_neighbours():
    neighbours, candidates, owned = one_user([0] + [4] * 60)
    assert len(neighbours) == 50
    assert len(candidates) == 75
    assert candidates == sorted(set(candidates))
    theirs = {p for n in neighbours for p in owned.row(n).tolist()}
    assert set(candidates) < theirs
    assert len({p // 4 for p in candidates}) > 30, "not the playlists of a few neighbours"


def test_another_seed_gives_another_sample():
    assert one_user([0] + [4] * 50, seed=1)[1] != one_user([0] + [4] * 50, seed=2)[1]
    assert one_user([0] + [4] * 50, seed=1)[1] == one_user([0] + [4] * 50, seed=1)[1]


def test_own_playlists_are_never_candidates():
    owned = owners([3, 3])
    chosen = select(ranked([[0, 1], [1, 0]], 2), owned, PairingSettings())
    assert entries(chosen.candidates) == [[3, 4, 5], [0, 1, 2]]
    assert entries(chosen.neighbours) == [[1], [0]]


def test_four_candidates_are_few_and_five_are_not():
    nearest = ranked([[2], [3], [], []], 4)
    chosen = select(nearest, owners([0, 0, 4, 5]), PairingSettings())
    assert chosen.few.tolist() == [0, 2, 3]


def test_as_many_candidates_as_anybody_may_have_are_not_few():
    nearest = ranked([[2], [3], [], []], 4)
    chosen = select(nearest, owners([0, 0, 4, 2]), PairingSettings(candidates=3))
    assert chosen.candidates.counts.tolist() == [3, 2, 0, 0]
    assert chosen.few.tolist() == [1, 2, 3]


def test_who_is_not_sampled_is_not_counted_among_the_few():
    nearest = ranked([[2], [3], [], []], 4)
    chosen = select(nearest, owners([0, 0, 4, 5]), PairingSettings(), sampled=np.array([True, True, True, False]))
    assert chosen.few.tolist() == [0, 2]


def test_longer_rows_are_asked_for_only_for_the_few():
    asked: list[int] = []

    def widen(rows: np.ndarray) -> Csr:
        asked.extend(rows.tolist())
        return ranked([[2, 3]] * rows.size, 4)

    nearest = ranked([[2], [3], [3], []], 4)
    chosen = select(nearest, owners([0, 0, 1, 9]), PairingSettings(nearest=1), widen=widen)
    assert asked == [0, 3]
    assert entries(chosen.neighbours) == [[2, 3], [3], [3], [2]]
    assert chosen.widened.tolist() == [0, 3]
    assert chosen.few.tolist() == [3]


def test_a_user_with_few_candidates_looks_past_the_nearest():
    # The two nearest bring one playlist; the third and fourth are looked at, most similar first, until there are 3.
    neighbours, candidates, _ = one_user([0, 0, 1, 2, 5], nearest=2, min_playlists=3, few_candidates=3)
    assert neighbours == [2, 3]
    assert candidates == [0, 1, 2]


def test_widened_users_are_named_and_others_are_not():
    nearest = ranked([[2, 3], [3, 2], [], []], 4)
    chosen = select(nearest, owners([0, 0, 0, 9]), PairingSettings(nearest=1))
    assert chosen.widened.tolist() == [0]
    assert entries(chosen.neighbours) == [[3], [3], [], []]


def test_nobody_owns_anything_and_everybody_is_cold():
    chosen = select(ranked([[1], [0]], 2), owners([0, 0]), PairingSettings())
    assert chosen.few.tolist() == [0, 1]
    assert chosen.candidates.nnz == chosen.neighbours.nnz == 0


def test_no_users_at_all():
    chosen = select(ranked([], 0), owners([]), PairingSettings())
    assert chosen.neighbours.rows == chosen.candidates.rows == chosen.few.size == 0


def test_nearest_without_cosines_are_refused():
    with pytest.raises(ValueError, match="nearest names 2 users"):
        select(csr([[1], [0]], 2), owners([1, 1]), PairingSettings())


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(0, 6), min_size=2, max_size=40), seed=st.integers(0, 5), block=st.integers(1, 9))
def test_the_rule_holds_for_every_user(counts: list[int], seed: int, block: int):
    chosen_settings = PairingSettings(
        seed=seed, nearest=20, neighbours=4, min_playlists=6, candidates=9, few_candidates=2, block_users=block
    )
    matrix = clustered(len(counts), 40, 2, seed=seed)
    nearest, owned = nearest_users(matrix, 30, block_users=8), owners(counts)
    chosen = select(nearest, owned, chosen_settings)
    reached = reachable(chosen.neighbours, owned)
    for user in range(len(counts)):
        kept, candidates = chosen.neighbours.row(user).tolist(), chosen.candidates.row(user).tolist()
        theirs = {p for n in kept for p in owned.row(n).tolist()}
        in_order = [v for v in nearest.row(user).tolist() if v in set(kept)]
        assert kept == in_order
        assert all(counts[n] > 0 for n in kept)
        assert set(candidates) <= theirs
        assert len(candidates) == min(9, len(theirs))
        assert reached[user] == len(theirs)
        assert not set(candidates) & set(owned.row(user).tolist())
        able = [v for v in nearest.row(user).tolist()[:20] if counts[v] > 0]
        if user not in chosen.widened:
            assert len(kept) >= min(4, len(able))
            assert len(kept) == len(able) or reached[user] >= 6
            # Without its last visitor a row that is longer than 4 would have had too few playlists.
            assert len(kept) <= 4 or any(reached[user] - counts[n] < 6 for n in kept)
    again = select(nearest, owned, chosen_settings.model_copy(update={"block_users": 1_000}))
    assert same(again.neighbours, chosen.neighbours)
    assert np.array_equal(again.candidates.indices, chosen.candidates.indices)
