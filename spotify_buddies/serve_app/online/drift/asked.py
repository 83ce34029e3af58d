"""What tastes ask for: their genres, and songs that the version does not know, from the requests stored with lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.errors import InvalidRequest
from spotify_buddies.serve_app.online.drift.signals import Counted, Signal
from spotify_buddies.serve_app.ranking.cold import genres_of
from spotify_buddies.serve_app.ranking.query import Taste
from spotify_buddies.serve_app.ranking.song_lookup import TasteSongs, find_songs
from spotify_buddies.trainer.bundle import Bundle

Array = npt.NDArray[Any]

# Tastes whose songs are looked up at once.
_AT_ONCE = 1_000
_NO_TASTES = "no list says the songs of a taste"


def count_asked(bundle: Bundle, days: int, asked: Sequence[tuple[int, bytes]]) -> tuple[Counted, Counted]:
    """Tastes by genre, beside the libraries of all the bundle's users; and their songs, unknown or known.

    asked: (day, serialized RecommendRequest); requests without a taste are passed over, and so are those that this
    release refuses. The genre is that of most of a taste's songs, as Source.POPULAR_IN_GENRE has it; "unknown": no
    song has one. A request has no field for a genre: songs are all that says what is asked for. A song is unknown that
    the bundle does not have, or no user of it.
    """
    genres = bundle.genre_popular.rows
    by_genre, by_song = np.zeros((days, genres + 1), np.int64), np.zeros((days, 2), np.int64)
    tastes = list(_tastes(asked))
    for first in range(0, len(tastes), _AT_ONCE):
        some = tastes[first : first + _AT_ONCE]
        found = find_songs(bundle, [taste for _, taste in some])
        places = np.array([day for day, _ in some])
        np.add.at(by_genre, (places, _places(genres_of(bundle, found.songs), genres)), 1)
        np.add.at(by_song, places, _unknown_and_known(bundle, found))
    nothing = "" if tastes else _NO_TASTES
    reference = np.bincount(_places(genres_of(bundle, bundle.user_songs), genres), minlength=genres + 1)
    names = (*(f"genre {number}" for number in range(genres)), "unknown")
    return (
        Counted(Signal.GENRES_ASKED, "tastes", names, by_genre, reference, unmeasured=nothing),
        Counted(Signal.UNKNOWN_SONGS, "songs of tastes", ("unknown", "known"), by_song, unmeasured=nothing),
    )


def _tastes(asked: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, Taste]]:
    for day, data in asked:
        try:
            request = pb.RecommendRequest.FromString(data)
            if request.tastes:
                yield day, decode_query(request).tastes[0]
        except (DecodeError, InvalidRequest):
            continue


def _unknown_and_known(bundle: Bundle, found: TasteSongs) -> Array:
    """How many songs of each taste no user of the bundle has, and the others, int64 (tastes, 2)."""
    songs = found.songs
    tastes = np.repeat(np.arange(songs.rows), np.diff(songs.indptr))
    known = np.bincount(tastes, bundle.song_listeners[songs.indices] > 0, songs.rows).astype(np.int64)
    return np.stack([np.diff(songs.indptr) - known + np.array(found.unknown), known], axis=1)


def _places(genres: Array, unknown: int) -> Array:
    return np.where(genres < 0, unknown, genres)
