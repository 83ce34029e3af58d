"""What an engine chooses from: the columns of a bundle, and what is computed of them once, when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.serve_app.ranking.plain_arrays import read_only
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.bundle.derived import SONGS, WORDS, genre_of, novelty_of, song_bits_of

Array = npt.NDArray[Any]

_NO_SCORES, _NO_GENRES = np.empty(0, np.float32), np.empty(0, np.int16)
_NO_BITS = np.empty((0, WORDS), np.uint64)
_NO_SHARES = np.empty((0, 0), np.float32)


@dataclass(frozen=True)
class Library:
    """Whose songs lists are for: row rows[i] of songs, ascending, is user i's; -1: nothing is known."""

    songs: Csr
    rows: Array


def catalogue_of(bundle: Bundle) -> kernels.Catalogue:
    """The columns that a ranking reads; novelty and genres are empty where the bundle has no songs of playlists."""
    genres, songs, refused = bundle.genre_popular, bundle.playlist_songs, refused_of(bundle)
    return kernels.Catalogue(
        factors=bundle.playlist_factors,
        owner=bundle.owner,
        sketches=bundle.sketches,
        popular=bundle.popular,
        popular_scores=bundle.popular_scores,
        genre_indptr=genres.indptr,
        genre_popular=genres.indices,
        genre_scores=_NO_SCORES if genres.values is None else genres.values,
        song_indptr=np.empty(0, np.int64) if songs is None else songs.indptr,
        songs=np.empty(0, np.int32) if songs is None else songs.indices,
        song_bits=_song_bits(bundle),
        novelty=_novelty(bundle),
        genre=_genre(bundle),
        refused_indptr=refused.indptr,
        refused=refused.values,
    )


def _novelty(bundle: Bundle) -> Array:
    """Of the bundle, or of its songs where an earlier release wrote it."""
    if bundle.playlist_novelty is not None:
        return bundle.playlist_novelty
    songs = bundle.playlist_songs
    return read_only(_NO_SCORES if songs is None else novelty_of(songs, bundle.song_listeners, bundle.manifest.users))


def _genre(bundle: Bundle) -> Array:
    """As _novelty."""
    if bundle.playlist_genre is not None:
        return bundle.playlist_genre
    songs = bundle.playlist_songs
    return read_only(_NO_GENRES if songs is None else genre_of(songs, bundle.song_genres, bundle.genre_popular.rows))


def _song_bits(bundle: Bundle) -> Array:
    """As _novelty."""
    if bundle.playlist_song_bits is not None:
        return bundle.playlist_song_bits
    songs = bundle.playlist_songs
    return read_only(_NO_BITS if songs is None else song_bits_of(songs))


def refused_of(bundle: Bundle) -> kernels.Ragged:
    """What each user never gets; empty arrays where the bundle does not say."""
    rows = bundle.refused
    if rows is None:
        return kernels.Ragged(np.empty(0, np.int64), np.empty(0, np.int32))
    return kernels.Ragged(rows.indptr, rows.indices)


def wanted_genres(bundle: Bundle, library: Library, rules: Rules) -> Array:
    """What lists are calibrated to, (users, genres); (0, 0) where nobody's list is, or playlists have no genres."""
    if not rules.calibration or bundle.playlist_songs is None:
        return _NO_SHARES
    return shares_of(library.songs, library.rows, bundle.song_genres, bundle.genre_popular.rows)


def shares_of(songs: Csr, rows: Array, song_genres: Array, genres: int) -> Array:
    """The share of each genre among the songs of these rows, float32 (rows, genres); zeros where no song has one.

    rows: of songs; -1 stands for no songs. At most SONGS songs of a row are looked at.
    """
    shares = np.empty((len(rows), genres), np.float32)
    kernels.genre_shares(songs.indptr, songs.indices, rows, song_genres, SONGS, shares)
    return shares
