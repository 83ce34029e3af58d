"""Genres and unknown songs of tastes, from the requests that are stored with lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.asked import asked_of, asked_of_taste
from spotify_buddies.serve_app.online.drift.asked import count_asked
from spotify_buddies.trainer.bundle import Bundle


def stored(*songs: str, limit: int = 5) -> bytes:
    """What is stored for a taste of these songs: ids, or names of songs of the generated bundle."""
    named = [
        pb.Song(song_id=song) if song.startswith("SO") else pb.Song(name=pb.SongName(title=song, artist="Artist 1"))
        for song in songs
    ]
    taste = pb.Taste(user_id="who", songs=named)
    request = pb.RecommendRequest(user_ids=["somebody"], tastes=[taste], limit=limit)
    shared, own = asked_of(request), asked_of_taste(taste)
    assert shared is not None
    assert own is not None
    return shared + own


def test_a_taste_has_the_genre_of_most_of_its_songs(bundle: Bundle) -> None:
    # Songs 0 to 29 are of genre 0, 30 to 59 of genre 1, 60 to 79 of genre 2, 80 to 89 of none. "Song 1" is of Artist 1.
    asked = [
        (0, stored("SO0030", "SO0032", "SO0002")), (0, stored("Song 1")), (1, stored("SO0082")), (1, stored("SO9999")),
    ]  # fmt: skip
    genres, songs = count_asked(bundle, 2, asked)
    assert genres.bins == ("genre 0", "genre 1", "genre 2", "unknown")
    assert genres.days.tolist() == [[1, 1, 0, 0], [0, 0, 0, 2]]
    assert genres.reference is not None
    assert genres.reference.sum() == bundle.manifest.users
    assert songs.days.tolist() == [[0, 4], [1, 1]]


def test_songs_that_no_user_has_are_unknown_whether_the_bundle_has_them_or_not(bundle: Bundle) -> None:
    listeners = np.array(bundle.song_listeners)
    listeners[2] = 0
    _, songs = count_asked(replace(bundle, song_listeners=listeners), 1, [(0, stored("SO0002", "SO0004", "Nothing"))])
    assert songs.days.tolist() == [[2, 1]]


def test_requests_without_a_taste_are_passed_over_and_alone_are_not_measured(bundle: Bundle) -> None:
    plain = pb.RecommendRequest(limit=7, exclude_playlist_ids=["list-1"]).SerializeToString()
    refused = stored("SO0002", limit=1_000_000)
    counted = count_asked(bundle, 1, [(0, plain), (0, b"\xff"), (0, refused)])
    assert {one.unmeasured for one in counted} == {"no list says the songs of a taste"}
    genres, _ = count_asked(bundle, 1, [(0, plain), (0, stored("SO0002"))])
    assert genres.days.tolist() == [[1, 0, 0, 0]]
