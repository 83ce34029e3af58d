"""Sources of candidates and their union, worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle.sources import FOLLOWS, NEW, PAIRING, POPULAR, TASTE
from spotify_buddies.trainer.candidates.find import Budgets, Found, find_candidates, unite_sources
from spotify_buddies.trainer.candidates.follows import find_together
from spotify_buddies.trainer.candidates.nearest import Nearest
from spotify_buddies.trainer.candidates.popular import newcomers
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.settings import CandidateSettings

# Playlists in a plane; user 0 looks to the right, user 1 up, user 2 nowhere.
PLAYLISTS = np.array([[1, 0], [0, 1], [2, 0], [1, 1], [-1, 0]], np.float32)
USERS = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
ONES = np.ones(2, np.float32)


def nearest(scale: np.ndarray = ONES, rows: np.ndarray | None = None, exact_cells: int = 1_000) -> Nearest:
    return Nearest.of(PLAYLISTS, scale, USERS, rows=rows, exact_cells=exact_cells)


def test_the_nearest_have_the_largest_products_and_ties_go_to_the_lower_row():
    assert nearest()(USERS, 3).tolist() == [[2, 0, 3], [1, 3, 0], [-1, -1, -1]]
    assert nearest()(USERS[:1], 7).tolist() == [[2, 0, 3, 1, 4, -1, -1]]


def test_a_scale_weighs_the_dimensions_and_zeros_leave_them_out():
    both = np.array([[1, 1]], np.float32)
    assert nearest()(both, 5).tolist() == [[2, 3, 0, 1, 4]]
    assert nearest(np.array([0, 1], np.float32))(both, 5).tolist() == [[1, 3, 0, 2, 4]]
    assert nearest(np.array([0.1, 1], np.float32))(both, 2).tolist() == [[3, 1]]
    assert nearest(np.zeros(2, np.float32))(both, 2).tolist() == [[-1, -1]]


def test_only_the_asked_rows_are_near():
    assert nearest(rows=np.array([1, 4]))(USERS, 3).tolist() == [[1, 4, -1], [1, 4, -1], [-1, -1, -1]]


def test_an_index_finds_nearly_what_looking_at_all_finds():
    rng = np.random.default_rng(5)
    factors = rng.normal(size=(3_000, 16)).astype(np.float32)
    users = rng.normal(size=(200, 16)).astype(np.float32)
    scale = np.ones(16, np.float32)
    exact = Nearest.of(factors, scale, users, exact_cells=10**9)
    indexed = Nearest.of(factors, scale, users, exact_cells=0)
    assert indexed.index is not None
    found, wanted = indexed(users, 75), exact(users, 75)
    assert np.mean([np.isin(wanted[i], found[i]).mean() for i in range(200)]) > 0.9
    assert (found[:, 0] == wanted[:, 0]).mean() > 0.9
    again = Nearest.of(factors, scale, users, exact_cells=0)
    assert again(users, 75).tolist() == found.tolist()


def test_what_the_same_people_like_is_near_by_the_cosine_of_its_likers():
    likes = Csr.from_rows([[0, 1], [0, 1, 2], [0, 3], []], 5)
    together = find_together(likes)
    # 0 has 3 likers, 1 two of them, 2 and 3 one each.
    assert together.near[0, :4].tolist() == [1, 2, 3, -1]
    assert together.cosines[0, :3].tolist() == pytest.approx([2 / 6**0.5, 1 / 3**0.5, 1 / 3**0.5])
    assert together.near[4, 0] == -1
    # User 2 likes 0 and 3: near 0 are 1 and 2. What they like themselves does not come back.
    assert together(0, 4, 3).tolist() == [[2, 3, -1], [3, -1, -1], [1, 2, -1], [-1, -1, -1]]


def test_new_are_playlists_with_songs_and_few_likes():
    assert newcomers(np.array([0, 2, 1, 0]), np.array([3, 3, 3, 0]), 1).tolist() == [0, 2]


def found(**sources) -> Found:
    none = Found(Csr.from_rows([[4, 3], [0], []], 5), None, None, np.empty(0, np.int32), None)
    return replace(none, **sources)


NOBODY = Csr.from_rows([[], [], []], 5)


def test_the_union_holds_each_playlist_once_with_the_bits_of_all_who_found_it():
    sources = found(taste=nearest(), popular=np.array([3, 1], np.int32), new=nearest(rows=np.array([4])))
    united = unite_sources(sources, USERS, NOBODY, Budgets(75, 2, 0, 1, 1), 4_096)
    assert [united.rows.row(user).tolist() for user in range(3)] == [[4, 3, 2, 0], [0, 1, 3, 4], [3]]
    assert united.sources.tolist() == [
        *(PAIRING | NEW, PAIRING | POPULAR, TASTE, TASTE),
        *(PAIRING, TASTE, TASTE | POPULAR, NEW),
        POPULAR,
    ]


def test_what_is_refused_is_no_candidate_and_uses_up_no_budget():
    refused = Csr.from_rows([[2, 3], [0], []], 5)
    united = unite_sources(found(taste=nearest()), USERS, refused, Budgets(75, 2, 0, 0, 0), 4_096)
    assert [united.rows.row(user).tolist() for user in range(3)] == [[4, 0, 1], [1, 3], []]


def test_a_source_without_a_budget_finds_nothing():
    together = find_together(Csr.from_rows([[0, 1], [0], []], 5))
    sources = found(taste=nearest(), together=together)
    nothing = unite_sources(sources, USERS, NOBODY, Budgets(0, 0, 0, 0, 0), 4_096)
    assert nothing.rows.nnz == nothing.sources.size == 0
    followed = unite_sources(sources, USERS, NOBODY, Budgets(0, 0, 5, 0, 0), 4_096)
    assert [followed.rows.row(user).tolist() for user in range(3)] == [[], [1], []]
    assert followed.sources.tolist() == [FOLLOWS]


def test_blocks_do_not_change_the_union():
    sources = found(taste=nearest(), popular=np.array([3, 1], np.int32))
    budgets = Budgets(1, 2, 0, 2, 0)
    whole = unite_sources(sources, USERS, NOBODY, budgets, 4_096)
    cut = unite_sources(sources, USERS, NOBODY, budgets, 1)
    assert whole.rows.indices.tolist() == cut.rows.indices.tolist()
    assert whole.rows.indptr.tolist() == cut.rows.indptr.tolist()
    assert whole.sources.tolist() == cut.sources.tolist()


def test_no_users_have_no_candidates():
    none = Found(Csr.from_rows([], 5), nearest(), None, np.empty(0, np.int32), None)
    united = unite_sources(none, USERS[:0], Csr.from_rows([], 5), Budgets(1, 1, 0, 0, 0), 4_096)
    assert (united.rows.rows, united.rows.nnz) == (0, 0)


@pytest.fixture
def planted_model(planted):
    """Six tastes, one a dimension: users and playlists of row i have taste i % 6."""
    data = open_dataset(planted.dataset)
    users, playlists = (np.eye(6, dtype=np.float32)[np.arange(n) % 6] for n in (data.users, data.playlists))
    paired = Csr.from_rows([[0, 1]] * data.users, data.playlists)
    return data, paired, Model(users, playlists)


def test_candidates_of_a_data_set_leave_out_the_own_and_the_disliked(planted_model):
    data, paired, model = planted_model
    disliked = Csr.from_rows([[1]] * data.users, data.playlists)
    settings = CandidateSettings(pairing=5, taste=10, popular=5, new=5, new_likes=3)
    scale = np.ones(6, np.float32)
    candidates = find_candidates(data, paired, model, scale, settings, disliked=disliked)
    for user in range(data.users):
        row = candidates.rows.row(user)
        assert np.unique(row).size == row.size
        assert not np.isin(row, data.owned.row(user)).any()
        assert 1 not in row
    assert (candidates.sources & TASTE > 0).sum() > 9 * data.users
    assert not (candidates.sources & FOLLOWS).any()


def test_follows_are_a_source_where_likes_are_peoples_own_and_what_they_follow_is_none(planted_model):
    data, paired, model = planted_model
    settings = CandidateSettings(follows=20, taste=0)
    candidates = find_candidates(data, paired, model, np.ones(6, np.float32), settings, followed=True)
    assert (candidates.sources & FOLLOWS > 0).any()
    for user in range(data.users):
        span = slice(int(data.liked.indptr[user]), int(data.liked.indptr[user + 1]))
        trained = data.liked.indices[span][data.split[span] == 0]
        assert not np.isin(candidates.rows.row(user), trained).any()


def test_the_pairing_alone_comes_back_as_it_is(planted_model):
    data, paired, model = planted_model
    alone = find_candidates(data, paired, model, np.ones(6, np.float32), CandidateSettings(pairing_only=True))
    assert alone.rows is paired
    assert alone.sources.tolist() == [PAIRING] * paired.nnz
