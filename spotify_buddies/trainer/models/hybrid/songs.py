"""Song sets, from which factors are summed, and how much a song and its artist count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import over_blocks
from spotify_buddies.foundation.stages.progress import silent
from spotify_buddies.foundation.text.artists import full_artist
from spotify_buddies.foundation.text.song_keys import normalise
from spotify_buddies.trainer.dataset.kernels import group
from spotify_buddies.trainer.models.hybrid.kernels import count_artists, sum_rows, sum_squares, weigh

Array = npt.NDArray[Any]

_BLOCK = 8_192


@dataclass(frozen=True)
class SongSets:
    """Users (U, S) and playlists (P, S) as sets of songs, and the artist of each song.

    artist int32 (S,): from 0, -1 where unknown. others: more song sets over the same songs, which say what goes
    together and get no factors.
    """

    users: Csr
    playlists: Csr
    artist: Array
    others: tuple[Csr, ...] = ()

    def __post_init__(self) -> None:
        """Check that all are over the same songs. ValueError where they are not."""
        if any(part.columns != self.artist.size for part in (self.users, self.playlists, *self.others)):
            raise ValueError(f"song sets over other songs than the {self.artist.size} that have an artist")

    @property
    def songs(self) -> int:
        """Number of songs."""
        return int(self.artist.size)

    @property
    def parts(self) -> tuple[Csr, ...]:
        """Users, playlists and the others."""
        return (self.users, self.playlists, *self.others)

    @cached_property
    def postings(self) -> tuple[Csr, ...]:
        """The rows that hold each song, of every part."""
        return tuple(part.transpose() for part in self.parts)


@dataclass(frozen=True)
class Feature:
    """The song sets as rows of features: songs and artists by inverse document frequency, divided by the row's length.

    song_weights float32 (S,): log((1 + n) / (1 + df)) + 1, 0 for a song of a single set, which joins nothing.
    artist_weights float32 (A,): the same of artists, times `artist_weight`. artist_ptr int64 (A + 2,), artist_songs
    int32 (S,): songs by artist, those without one last. scales: of each part, float32 (rows,), 1 / length of the
    weights of all of a row's songs, those of a single set too; 0 for a row without songs. all_weights float32 (S,):
    those that lengths are made of.
    """

    sets: SongSets
    song_weights: Array
    artist_weights: Array
    artist_ptr: Array
    artist_songs: Array
    scales: tuple[Array, ...]
    all_weights: Array

    def vectors(self, songs: Array, artists: Array) -> Array:
        """The vector that a song adds to a row, float32 (S, d), from song factors (S, d) and artist factors (A, d)."""
        out, artist = np.empty_like(songs), self.sets.artist
        song_weights, artist_weights = self.song_weights, self.artist_weights
        in_blocks(len(out), lambda a, b: weigh(a, b, songs, song_weights, artist, artists, artist_weights, out))
        return out

    def rows(self, part: int, vectors: Array) -> Array:
        """The sum of every row of a part, scaled: float32 (rows, d)."""
        songs, scale = self.sets.parts[part], self.scales[part]
        out = np.empty((songs.rows, vectors.shape[1]), np.float32)
        in_blocks(songs.rows, lambda a, b: sum_rows(a, b, songs.indptr, songs.indices, vectors, scale, out))
        return out


def feature(sets: SongSets, artist_weight: float) -> Feature:
    """Weigh songs and artists by how many of the sets, of all parts, hold them."""
    documents = sum(part.rows for part in sets.parts)
    frequency = sum((part.column_counts() for part in sets.parts), np.zeros(sets.songs, np.int64))
    weights = _idf(documents, frequency).astype(np.float32)
    artists = int(sets.artist.max(initial=-1)) + 1
    # Songs without an artist get one number past the last, so that one grouping serves all.
    ptr, songs = group(np.where(sets.artist < 0, artists, sets.artist), np.arange(sets.songs), artists + 1)
    held = np.zeros(artists, np.int64)
    for part in sets.parts:
        held += _rows_by_artist(part, sets.artist, artists)
    scales = tuple(lengths(part, weights) for part in sets.parts)
    artist_weights = (artist_weight * _idf(documents, held)).astype(np.float32)
    return Feature(sets, np.where(frequency > 1, weights, np.float32(0)), artist_weights, ptr, songs, scales, weights)


def lengths(part: Csr, weights: Array) -> Array:
    """1 / length of every row of weights, float32 (rows,); 0 for a row without songs."""
    squares = np.empty(part.rows, np.float64)
    sum_squares(part.indptr, part.indices, weights, squares)
    # Doubles until here: a long row sums many squares.
    return np.divide(1.0, np.sqrt(squares), out=np.zeros(part.rows), where=squares > 0).astype(np.float32)


def artist_rows(songs: pl.DataFrame, matching: str) -> Array:
    """A number for the artist of each song, int32 (S,), in the order of first appearance; -1 for a song without one.

    songs: title, artist. matching: how names are compared, as in the data set.
    """
    names = songs["artist"].fill_null("")
    # Each name is normalised once: there are far fewer artists than songs.
    distinct = names.unique(maintain_order=True)
    codes: dict[str, int] = {}
    rows = []
    for name in distinct.to_list():
        key = full_artist(name) if matching == "full" else normalise(name)
        rows.append(codes.setdefault(key, len(codes)) if key else -1)
    placed = names.replace_strict(distinct, pl.Series(rows, dtype=pl.Int32), return_dtype=pl.Int32)
    return np.array(placed.to_numpy(), np.int32)


def in_blocks(rows: int, work: Callable[[int, int], None]) -> None:
    """work(first, last) over blocks of rows on every core; each writes its own rows, so the cut changes nothing."""
    for _ in over_blocks(rows, _BLOCK, "", silent, work):
        pass


def _idf(documents: int, frequency: Array) -> Array:
    """log((1 + n) / (1 + df)) + 1, the smoothed inverse document frequency, float64."""
    weights: Array = np.log((1.0 + documents) / (1.0 + frequency)) + 1.0
    return weights


def _rows_by_artist(part: Csr, artist: Array, artists: int) -> Array:
    """How many rows hold a song of each artist, int64 (artists,)."""
    out = np.zeros(artists, np.int64)
    count_artists(part.indptr, part.indices, artist, np.full(artists, -1, np.int64), out)
    return out
