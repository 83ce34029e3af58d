"""How far likes are trusted: chosen by what it costs, and folded into the factors of users and of songs."""

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import SongFactors
from spotify_buddies.trainer.dataset.table import IN_TRAIN, open_dataset
from spotify_buddies.trainer.models.hybrid.trust import COST, GRID, Trust, choose_trust, count_likes, fold, fold_songs
from spotify_buddies.trainer.models.model import Model

GENRES = 6
LIKES = slice(GENRES, 2 * GENRES)


@pytest.fixture(scope="module")
def data(planted):
    return open_dataset(planted.dataset)


def model_of(data, taste_says, likes_say, seed=1):
    """A model whose taste and whose likes are the planted genre, or noise."""
    rng = np.random.default_rng(seed)

    def part(rows, says):
        genre = np.eye(GENRES, dtype=np.float32)[np.arange(rows) % GENRES]
        return genre if says else rng.standard_normal((rows, GENRES)).astype(np.float32)

    return Model(*(np.hstack([part(n, taste_says), part(n, likes_say)]) for n in (data.users, data.playlists)))


def test_likes_that_say_nothing_beside_the_taste_are_trusted_least(data):
    assert choose_trust(data, model_of(data, True, False), LIKES).likes == max(GRID)


def test_likes_are_trusted_less_only_as_far_as_it_costs_a_hundredth_of_them(data):
    found = choose_trust(data, model_of(data, False, True), LIKES)
    best = np.max(list(found.by_likes.values()), axis=0)
    beside = {likes: float(np.mean(np.array(values) / best)) for likes, values in found.by_likes.items()}
    least = (1 - COST) * max(beside.values())
    assert found.likes < max(GRID)
    assert beside[found.likes] >= least
    assert all(value < least for likes, value in beside.items() if likes > found.likes)


def test_a_users_likes_count_by_their_number():
    assert Trust(3.0, {}).of(np.array([0, 1, 3, 9])) == pytest.approx([0, 0.1, 0.5, 0.9])
    assert Trust(0.0, {}).of(np.array([0, 5])).tolist() == [1, 1]


def test_likes_are_those_of_training(data):
    counts = count_likes(data)
    for user in range(0, data.users, 7):
        first, last = data.liked.indptr[user], data.liked.indptr[user + 1]
        assert counts[user] == (np.asarray(data.split[first:last]) == IN_TRAIN).sum()


@pytest.mark.parametrize("likes", [slice(0, 2 * GENRES), slice(2 * GENRES, 2 * GENRES)])
def test_a_model_of_one_part_is_left_as_it_is(data, likes):
    assert choose_trust(data, model_of(data, True, True), likes) == Trust(0.0, {})


def test_folded_songs_add_up_to_the_factor_of_a_user_without_likes():
    songs = SongFactors(
        np.eye(4, 2, dtype=np.float16), np.ones((4, 3), np.float16), np.ones(4, np.float32), np.ones(1, np.float32)
    )
    rows = Csr.from_rows([[0, 1], [1, 3]], 4)
    model = Model(songs(rows), np.ones((2, 5), np.float32))
    for trust in (Trust(0.0, {}), Trust(2.0, {})):
        folded = fold(model, slice(2, 5), trust.of(np.zeros(2)))
        assert fold_songs(songs, trust)(rows) == pytest.approx(folded.user_factors)
        assert folded.playlist_factors.tolist() == model.playlist_factors.tolist()
