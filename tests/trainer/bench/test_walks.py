"""Candidates that are reached by ways: so many of every user, each once, and most where the ways lead."""

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bench.walks import Way, draw_candidates

USERS, PLAYLISTS, EACH = 300, 4_000, 20


def test_every_user_has_so_many_different_ones_and_most_are_where_the_ways_lead() -> None:
    """User u hears song u alone, which playlists 10 * u up to 10 * u + 9 hold; by chance it is one in 400."""
    heard = Csr.from_rows([[user] for user in range(USERS)], USERS)
    held = Csr.from_rows([np.arange(10 * user, 10 * user + 10) for user in range(USERS)], PLAYLISTS)
    rng = np.random.default_rng(4)
    made = draw_candidates(USERS, PLAYLISTS, EACH, [Way(0.5, (heard, held))], rng)
    assert set(made.counts.tolist()) == {EACH}
    rows = [made.row(user) for user in range(USERS)]
    assert all(np.all(np.diff(row) > 0) for row in rows)
    own = np.array([np.isin(row, held.row(user)).sum() for user, row in enumerate(rows)])
    # Fifteen draws of ten with repetition give 7.9 different ones, of which the first twenty of all draws hold most.
    assert 6 < own.mean() < 9


def test_ways_that_end_or_lead_to_the_same_are_made_good() -> None:
    nothing = Csr.from_rows([[]] * USERS, USERS)
    one = Csr.from_rows([[7]] * USERS, PLAYLISTS)
    for way in (Way(1.0, (nothing, one)), Way(1.0, (one,))):
        made = draw_candidates(USERS, PLAYLISTS, EACH, [way], np.random.default_rng(4))
        assert set(made.counts.tolist()) == {EACH}
        assert all(np.unique(made.row(user)).size == EACH for user in range(USERS))
    assert all(7 in made.row(user) for user in range(USERS))


def test_as_many_as_there_are_playlists_are_all_of_them() -> None:
    own = Csr.from_rows([[user % 5] for user in range(USERS)], 5)
    made = draw_candidates(USERS, 5, 5, [Way(0.6, (own,))], np.random.default_rng(4))
    assert made.indices.reshape(USERS, 5).tolist() == [[0, 1, 2, 3, 4]] * USERS


@pytest.mark.parametrize("users", [0, 1])
def test_no_users_have_no_candidates(users: int) -> None:
    made = draw_candidates(users, PLAYLISTS, EACH, [], np.random.default_rng(4))
    assert (made.rows, made.nnz) == (users, users * EACH)
