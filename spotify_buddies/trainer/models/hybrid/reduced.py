"""A part of the song sets, small enough for a wide basis, some of them cut in two to judge what is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.trainer.dataset.kernels import group
from spotify_buddies.trainer.models.hybrid.songs import Feature, SongSets, lengths

Array = npt.NDArray[Any]

MOST_SETS = 300_000
MOST_SONGS = 300_000
# Sets of so many songs have two halves that say something.
LEAST_HELD_OUT = 20
HELD_OUT_SHARE, MOST_HELD_OUT = 0.05, 1_000


@dataclass(frozen=True)
class Reduced:
    """Some of the rows over fewer songs, with the weights that the whole has.

    rows: the chosen sets as the only part with rows; the sets that are held out are there as two sets each, their
    halves. whole int32 (n,): the rows that are no half. halves int32 (h, 2). place int32 (S,): the row of every song
    in the reduced songs. Songs that have no row of their own share one per artist, which has their artist and no
    weight. share: sets of the whole for one of these. `own`: how many songs have a row of their own.
    """

    rows: Feature
    whole: Array
    halves: Array
    place: Array
    own: int
    share: float


def reduce(rows: Feature, seed: int, *, sets: int = MOST_SETS, songs: int = MOST_SONGS) -> Reduced:
    """At most `sets` sets of all parts, at random, and the `songs` songs of most sets that have a weight.

    Those of `held_out` are there as their halves. The weights of songs and artists stay those of all sets.
    """
    place, own = _places(rows, songs)
    artists = rows.artist_weights.size
    weights = np.zeros(own + artists + 1, np.float32)
    weights[place] = rows.song_weights
    weights[own:] = 0
    artist = np.concatenate([np.empty(own, np.int32), np.arange(artists, dtype=np.int32), [np.int32(-1)]])
    artist[place] = rows.sets.artist
    together, scales = _stacked(rows)
    held, halves = held_out(rows.sets.parts, seed)
    chosen = np.setdiff1d(np.flatnonzero(together.counts > 0), held)
    total = chosen.size
    if total > sets:
        chosen = np.sort(generator(seed, "hybrid/sets").choice(chosen, sets, replace=False))
    whole = chosen
    cut_scales = lengths(halves, rows.all_weights)
    parts = _joined(together.take(whole), halves)
    made = Csr(parts.indptr, place[parts.indices], weights.size)
    sets_ = SongSets(made, Csr(np.zeros(1, np.int64), np.empty(0, np.int32), weights.size), artist)
    ptr, by_artist = group(np.where(artist < 0, artists, artist), np.arange(weights.size), artists + 1)
    every = (np.concatenate([scales[whole], cut_scales]), np.empty(0, np.float32))
    reduced = Feature(sets_, weights, rows.artist_weights, ptr, by_artist, every, weights)
    pairs = (whole.size + np.arange(2 * held.size, dtype=np.int32)).astype(np.int32).reshape(-1, 2)
    return Reduced(
        reduced,
        np.arange(whole.size, dtype=np.int32),
        pairs,
        place,
        own,
        (total + held.size) / max(whole.size + held.size, 1),
    )


def held_out(parts: tuple[Csr, ...], seed: int) -> tuple[Array, Csr]:
    """The sets that the taste knows as two halves only, and by which it is judged: rows int64 (h,), halves (2 h, S).

    HELD_OUT_SHARE of the sets of LEAST_HELD_OUT or more songs, MOST_HELD_OUT at most; a row counts through all parts.
    """
    rng = generator(seed, "hybrid/held out")
    counts = np.concatenate([part.counts for part in parts])
    long = np.flatnonzero(counts >= LEAST_HELD_OUT)
    held = np.sort(rng.choice(long, min(MOST_HELD_OUT, int(HELD_OUT_SHARE * long.size)), replace=False))
    first, taken = 0, Csr(np.zeros(1, np.int64), np.empty(0, np.int32), parts[0].columns)
    for part in parts:
        inside = held[(held >= first) & (held < first + part.rows)]
        taken = _joined(taken, part.take(inside - first))
        first += part.rows
    return held, cut_rows(taken, rng)


def cut_rows(rows: Csr, rng: np.random.Generator) -> Csr:
    """The two random halves of every row, one after the other: row i is 2 i and 2 i + 1; the first is the larger."""
    counts = rows.counts
    owner = np.repeat(np.arange(rows.rows), counts)
    order = np.lexsort((rng.random(rows.nnz), owner))
    sizes = np.stack([(counts + 1) // 2, counts // 2], axis=1).ravel()
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    return Csr(indptr, np.asarray(rows.indices)[order], rows.columns)


def _places(rows: Feature, most: int) -> tuple[Array, int]:
    """The reduced row of every song, int32 (S,), and how many have one of their own."""
    held = sum((part.column_counts() for part in rows.sets.parts), np.zeros(rows.sets.songs, np.int64))
    weighed = np.flatnonzero(rows.song_weights > 0)
    own = np.sort(weighed[np.argsort(-held[weighed], kind="stable")[:most]])
    artist = rows.sets.artist.astype(np.int64)
    place = own.size + np.where(artist < 0, rows.artist_weights.size, artist)
    place[own] = np.arange(own.size)
    return place.astype(np.int32), int(own.size)


def _stacked(rows: Feature) -> tuple[Csr, Array]:
    """All parts as one, and their scales."""
    together = rows.sets.parts[0]
    for part in rows.sets.parts[1:]:
        together = _joined(together, part)
    return together, np.concatenate(rows.scales)


def _joined(first: Csr, second: Csr) -> Csr:
    indptr = np.concatenate([np.asarray(first.indptr), np.asarray(second.indptr[1:]) + first.nnz])
    return Csr(indptr, np.concatenate([first.indices, second.indices]), first.columns)
