"""What songs and artists count, and how rows are summed from them."""

import numpy as np
import polars as pl
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.hybrid.songs import SongSets, artist_rows, feature

# Songs 0 and 1 by artist 0, song 2 by artist 1, song 3 by nobody known.
ARTIST = np.array([0, 0, 1, -1], np.int32)
SETS = SongSets(Csr.from_rows([[0, 1], [0], []], 4), Csr.from_rows([[0, 2, 3], [2]], 4), ARTIST)


def test_a_song_in_more_sets_weighs_less_and_one_of_a_single_set_nothing():
    rows = feature(SETS, artist_weight=0.5)
    # Five sets; songs 0 and 2 are in three and two of them: log(6 / 4) + 1 and log(6 / 3) + 1.
    assert rows.song_weights == pytest.approx([1.405465, 0, 1.693147, 0], abs=1e-6)
    # Artist 0 is in three sets, artist 1 in two; half of their weights.
    assert rows.artist_weights == pytest.approx([0.702733, 0.846574], abs=1e-6)


def test_rows_are_scaled_by_all_their_songs():
    rows = feature(SETS, artist_weight=0.5)
    single = np.log(6 / 2) + 1
    assert rows.scales[0] == pytest.approx([1 / np.hypot(1.405465, single), 1 / 1.405465, 0], abs=1e-6)


def test_a_row_is_the_sum_of_its_songs_and_their_artists():
    rows = feature(SETS, artist_weight=0.5)
    songs = np.array([[1, 0], [0, 0], [0, 2], [5, 5]], np.float32)
    artists = np.array([[0, 1], [1, 0]], np.float32)
    vectors = rows.vectors(songs, artists)
    # Song 1 has no weight of its own and passes its artist on; song 3 has neither.
    assert vectors[1] == pytest.approx([0, 0.702733], abs=1e-6)
    assert vectors[3].tolist() == [0, 0]
    expected = (vectors[0] + vectors[1]) * rows.scales[0][0]
    assert rows.rows(0, vectors)[0] == pytest.approx(expected, abs=1e-6)
    assert rows.rows(0, vectors)[2].tolist() == [0, 0]


def test_songs_by_artist_hold_every_song_once():
    rows = feature(SETS, artist_weight=1)
    assert rows.artist_ptr.tolist() == [0, 2, 3, 4]
    assert rows.artist_songs.tolist() == [0, 1, 2, 3]


def test_other_sets_count_as_documents():
    alone = feature(SETS, artist_weight=1).song_weights
    more = feature(SongSets(SETS.users, SETS.playlists, ARTIST, (Csr.from_rows([[3]], 4),)), artist_weight=1)
    assert alone[3] == 0
    assert more.song_weights[3] == pytest.approx(np.log(7 / 3) + 1, abs=1e-6)


def test_sets_over_other_songs_are_refused():
    with pytest.raises(ValueError, match="other songs than the 4"):
        SongSets(SETS.users, Csr.from_rows([[0]], 3), ARTIST)


def test_artists_are_told_apart_as_the_data_set_compares_names():
    songs = pl.DataFrame({"artist": ["Abba", " ABBA", "The Abba", "", None, "Zoë"]})
    assert artist_rows(songs, "plain").tolist() == [0, 0, 1, -1, -1, 2]
    assert artist_rows(songs, "full").tolist() == [0, 0, 0, -1, -1, 1]
    assert artist_rows(songs.head(0), "plain").tolist() == []
