"""Part 2: which songs become one row."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from spotify_buddies.foundation.text.song_keys import lookup_keys, row_keys
from spotify_buddies.trainer.dataset.matching import SongRows, song_rows

HEARD, LISTED = "heard", "listed"


def match(*songs: tuple[str, str, str], joined: bool = True, matching="full") -> SongRows:
    """songs: (title, artist, side)."""
    table = pl.DataFrame({"title": [song[0] for song in songs], "artist": [song[1] for song in songs]})
    heard = np.array([song[2] == HEARD for song in songs])
    return song_rows(table, matching, lambda *_: None, sides=(heard, ~heard) if joined else None)


JOINED = ["Nora, Tom", "Nora;Tom", "Nora & Tom", "Nora x Tom", "Nora/Tom", "Nora with Tom", "Nora vs. Tom"]


@pytest.mark.parametrize("name", JOINED)
def test_a_joined_artist_meets_the_lead_artist_where_neither_meets_another(name):
    assert match(("Doors", name, HEARD), ("Doors", "Nora", LISTED)).rows.tolist() == [0, 0]
    assert match(("Doors", name, HEARD), ("Doors", "Nora", LISTED), joined=False).rows.tolist() == [0, 1]
    assert match(("Doors", name, HEARD), ("Windows", "Nora", LISTED)).rows.tolist() == [0, 1]


def test_a_joined_artist_who_meets_somebody_stays_apart_from_the_lead_artist():
    songs = [("Doors", "Nora & Tom", HEARD), ("Doors", "Nora, Tom", LISTED), ("Doors", "Nora", LISTED)]
    assert match(*songs).rows.tolist() == [0, 0, 1]


def test_a_lead_artist_who_meets_somebody_stays_apart_from_the_joined_one():
    songs = [("Doors", "Nora", HEARD), ("Doors", "Nora", LISTED), ("Doors", "Nora & Tom", LISTED)]
    assert match(*songs).rows.tolist() == [0, 0, 1]


def test_two_joined_artists_of_one_lead_artist_both_stay_apart():
    songs = [("Doors", "Nora & Tom", HEARD), ("Doors", "Nora & Uma", HEARD), ("Doors", "Nora", LISTED)]
    assert match(*songs).rows.tolist() == [0, 1, 2]


def test_the_longest_lead_is_tried_first():
    names = ["Nora, Tom & Uma", "Nora", "Nora & Tom", "Nora"]
    songs = [("Doors", name, side) for name, side in zip(names, (HEARD, LISTED, LISTED, HEARD), strict=True)]
    assert match(*songs).rows.tolist() == [0, 1, 0, 1]


def test_bands_that_hold_a_joining_word_keep_their_own_song():
    names = ["Earth, Wind & Rain", "Simon & Roe", "Tyler, The Maker", "AB/CD", "Crosby, Roe & Nash"]
    songs = [("Doors", name, side) for name in names for side in (HEARD, LISTED)]
    assert match(*songs).rows.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize(
    ("one", "other"), [("Quill, Nora", "Nora Quill"), ("Tom & Nora", "Nora x Tom"), ("Nora & The Vales", "Nora")]
)
def test_names_of_the_same_people_meet_whatever_else_they_meet(one, other):
    songs = [("Doors", name, side) for name in (one, other) for side in (HEARD, LISTED)]
    assert match(*songs).rows.tolist() == [0, 0, 0, 0]


def test_songs_of_different_guests_stay_apart_and_a_song_without_guests_joins_the_first():
    songs = [("Doors (feat. A)", "X", HEARD), ("Doors ft. B", "X", HEARD), ("Doors", "X", LISTED)]
    assert match(*songs).rows.tolist() == [0, 1, 0]


def test_a_row_is_shown_by_a_name_by_which_every_name_of_it_is_found():
    songs = [
        ("Doors", "Nora & Tom", HEARD),
        ("Doors", "Nora", LISTED),
        ("Roads", "Quill, Nora", HEARD),
        ("Roads", "Nora Quill", LISTED),
        ("Suns (feat. A)", "X", HEARD),
        ("Suns (feat. B)", "X", HEARD),
        ("", "", HEARD),
    ]
    found = match(*songs)
    assert found.rows.tolist() == [0, 0, 1, 1, 2, 3, 4]
    shown = [songs[i] for i in found.shown]
    keys = row_keys([song[0] for song in shown], [song[1] for song in shown], "full")
    for (title, artist, _), row in zip(songs[:-1], found.rows, strict=False):
        assert next(keys.index(key) for key in lookup_keys(title, artist, "full") if key in keys) == row


def test_songs_without_a_name_meet_nobody():
    assert match(("", "", HEARD), ("", "", HEARD), ("", "", LISTED)).rows.tolist() == [0, 1, 2]


def test_plain_matching_knows_no_other_names():
    assert match(("Doors", "Nora & Tom", HEARD), ("doors", " Nora ", LISTED), matching="plain").rows.tolist() == [0, 1]
    assert match(("Doors", "Nora", HEARD), ("doors", " Nora ", LISTED), matching="plain").rows.tolist() == [0, 0]
