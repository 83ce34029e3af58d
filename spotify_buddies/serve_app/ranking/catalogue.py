"""What an engine chooses from: the columns of a bundle, and what is computed of them once, when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import spans
from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.serve_app.ranking.query import Rules
from spotify_buddies.trainer.bundle import Bundle

Array = npt.NDArray[Any]

# Songs of a library or playlist whose genres are counted, evenly spread; more change a share by less than a twentieth.
SONGS = 128
_BLOCK = 65_536
_NO_SCORES = np.empty(0, np.float32)
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
        novelty=_NO_SCORES if songs is None else novelty_of(songs, bundle.song_listeners, bundle.manifest.users),
        genre=np.empty(0, np.int16) if songs is None else genre_of(songs, bundle.song_genres, genres.rows),
        refused_indptr=refused.indptr,
        refused=refused.values,
    )


def refused_of(bundle: Bundle) -> kernels.Ragged:
    """What each user never gets; empty arrays where the bundle does not say."""
    rows = bundle.refused
    if rows is None:
        return kernels.Ragged(np.empty(0, np.int64), np.empty(0, np.int32))
    return kernels.Ragged(rows.indptr, rows.indices)


def novelty_of(playlist_songs: Csr, listeners: Array, users: int) -> Array:
    """How little known each playlist is among all, float32 (playlists,), 0 the best known and 1 the least.

    The rank of its mean self-information, -log2((1 + listeners of the song) / (1 + users)) over its songs (Vargas and
    Castells, RecSys 2011), so that the measure has no unit; equal ones have the same. Without songs: 0.
    """
    bits = -np.log2((1.0 + listeners) / (1.0 + users))
    indptr, counts = np.asarray(playlist_songs.indptr), playlist_songs.counts
    sums = np.zeros(counts.size)
    # In blocks: a million playlists hold 60 million songs, and a replica has no gigabyte for their sum.
    for first, last in spans(counts.size, _BLOCK):
        inside = bits[playlist_songs.indices[indptr[first] : indptr[last]]]
        running = np.concatenate([np.zeros(1), np.cumsum(inside)])[indptr[first : last + 1] - indptr[first]]
        sums[first:last] = np.diff(running)
    some = counts > 0
    mean = sums[some] / counts[some]
    # Rounded: a difference of running sums is not the same for equal playlists.
    different, place = np.unique(np.round(mean, 6), return_inverse=True)
    novelty = np.zeros(counts.size, np.float32)
    novelty[some] = place / max(different.size - 1, 1)
    return novelty


def genre_of(playlist_songs: Csr, song_genres: Array, genres: int) -> Array:
    """The genre of most of each playlist's songs, the lower one of two; int16 (playlists,), -1 where none has one."""
    out = np.full(playlist_songs.rows, -1, np.int16)
    for first, last in spans(playlist_songs.rows, _BLOCK):
        rows = np.arange(first, last)
        shares = shares_of(playlist_songs, rows, song_genres, genres)
        if genres:
            out[rows] = np.where(shares.any(axis=1), shares.argmax(axis=1), -1)
    return out


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
