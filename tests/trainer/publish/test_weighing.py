"""A blend in a bundle: tastes given at run time get factors as long and as wide as the users'."""

from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import SongFactors
from spotify_buddies.trainer.models.blend.fit import Blend
from spotify_buddies.trainer.models.blend.fold import BIAS, SHIFT
from spotify_buddies.trainer.models.blend.report import BlendReport
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.publish.weighing import _times, _wider, _with_tail

ROWS = Csr.from_rows([[0], [1, 2], [0, 2]], 3)
TASTE = 2


@pytest.fixture
def songs() -> SongFactors:
    taste, likes = np.eye(3, TASTE, dtype=np.float16), np.arange(9, dtype=np.float16).reshape(3, 3)
    return SongFactors(taste, likes, np.ones(3, np.float32), np.ones(1, np.float32))


def blended(before: np.ndarray) -> Blend:
    """The taste three times as long, the likes half as long; item factors, a bias and a shift behind them."""
    users = np.hstack(
        [3 * before[:, :TASTE], 0.5 * before[:, TASTE:], np.full((3, 2), 7.0), np.ones((3, 1)), before[:, :1]]
    )
    blocks = {"taste": slice(0, 2), "likes": slice(2, 5), "items": slice(5, 7), BIAS: slice(7, 8), SHIFT: slice(8, 9)}
    playlists = np.ones((4, 9), np.float32)
    return Blend(
        Model(users.astype(np.float32), playlists), None, {"taste": 1.0}, BlendReport("blend", "", "follows"), blocks
    )


def test_a_taste_of_a_users_songs_has_the_users_factor_but_for_what_songs_do_not_say(songs: SongFactors) -> None:
    before = songs(ROWS)
    made = blended(before)
    times = _times(before, made.model.user_factors, TASTE)
    assert times == pytest.approx((3, 0.5))
    found = _with_tail(songs, times, made)(ROWS)
    expected = made.model.user_factors.copy()
    expected[:, 5:7] = 0  # nobody follows like a taste
    expected[:, 8] = 0  # the same for every playlist
    assert found == pytest.approx(expected)


def test_a_taste_without_a_song_that_says_anything_stays_without_a_factor(songs: SongFactors) -> None:
    made = blended(songs(ROWS))
    silent = SongFactors(0 * songs.taste, 0 * songs.likes, songs.weights, songs.taste_length)
    assert not _with_tail(silent, (3, 0.5), made)(ROWS).any()


def test_what_is_found_stays_the_same_in_longer_factors(songs: SongFactors) -> None:
    before = songs(ROWS)
    after = blended(before).model.user_factors
    scale = np.array([1, 1, 0.1, 0.1, 0.1], np.float32)
    wider = _wider(scale, (3, 0.5), TASTE, 9)
    assert (after * wider)[:, :5] == pytest.approx(before * scale)
    assert not wider[5:].any()


def test_a_taste_is_ranked_by_taste_where_a_blend_of_users_leaves_it_out(songs: SongFactors) -> None:
    before = songs(ROWS)
    made = blended(before)
    made.model.user_factors[:, :TASTE] = 0
    times = _times(before, made.model.user_factors, TASTE)
    assert times == pytest.approx((1, 0.5))
    assert _with_tail(songs, times, made)(ROWS)[:, :TASTE] == pytest.approx(before[:, :TASTE])


def test_song_factors_of_a_blend_come_back_from_their_file(songs: SongFactors, tmp_path) -> None:
    wide = _with_tail(songs, (3, 0.5), blended(songs(ROWS)))
    wide.save(tmp_path / "songs")
    back = SongFactors.load(tmp_path / "songs")
    assert back is not None
    assert back.dimension == 9
    assert back(ROWS).tobytes() == wide(ROWS).tobytes()
