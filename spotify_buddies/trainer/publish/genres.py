"""Genres without names: clusters of playlists by taste, the genre of every song, and what is liked in each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import derive, generator
from spotify_buddies.foundation.stages.blocks import spans
from spotify_buddies.trainer.publish.kernels import most_voted

Array = npt.NDArray[Any]

FEWEST, MOST = 8, 128
PLAYLISTS_A_GENRE = 100
POPULAR_A_GENRE = 200
_POINTS_A_GENRE = 256
_ITERATIONS = 25
_BLOCK = 16_384


@dataclass(frozen=True)
class Genres:
    """songs int16 (songs,): the genre of each, -1 unknown. popular (genres x playlists): best first, values float32.

    The values count the users who like a playlist. Playlists that nobody likes are left out, so a row may be empty.
    """

    songs: Array
    popular: Csr


@dataclass(frozen=True)
class Tastes:
    """Song sets (sets x songs) and the place of each in the space of tastes, float32 (sets, d); zeros: no place."""

    songs: Csr
    vectors: Array


def find_genres(playlists: Tastes, users: Tastes, likes: Array, seed: int) -> Genres:
    """Cluster the playlists by direction and give songs the genre that most of their playlists fall into.

    A song of no playlist takes the genre of most of its listeners, whose places are in the same space. likes: users
    who like each playlist. There is one genre to PLAYLISTS_A_GENRE playlists, FEWEST to MOST of them and no more than
    playlists with a place; without any there are none. Spherical k-means (Dhillon and Modha 2001) on at most 256
    playlists a genre; memory beside the arrays is that of one matrix turned over. The same on any number of threads.
    """
    placed = np.flatnonzero(np.square(playlists.vectors).sum(axis=1) > 0)
    count = min(int(np.clip(placed.size // PLAYLISTS_A_GENRE, FEWEST, MOST)), placed.size)
    songs = np.full(playlists.songs.columns, -1, np.int16)
    if count == 0:
        return Genres(songs, Csr(np.zeros(1, np.int64), np.empty(0, np.int32), likes.size, np.empty(0, np.float32)))
    # How a matrix product is split between threads changes its rounding.
    with threadpool_limits(1, user_api="blas"), threadpool_limits(1, user_api="openmp"):
        centres = _centres(playlists.vectors, placed, count, seed)
        genre_of = _nearest(playlists.vectors, centres)
        users_genre = _nearest(users.vectors, centres)
    for sets, genre in ((playlists.songs, genre_of), (users.songs, users_genre)):
        postings = sets.transpose()
        most_voted(postings.indptr, postings.indices, genre, count, songs)
    return Genres(songs, _popular(genre_of, likes, count))


def _centres(vectors: Array, placed: Array, count: int, seed: int) -> Array:
    """Directions of the genres, float32 (count, d)."""
    most = count * _POINTS_A_GENRE
    some = placed[np.unique(np.linspace(0, placed.size - 1, most).astype(np.int64))[: placed.size]]
    points = _unit(np.asarray(vectors[some], np.float32))
    clusters = faiss.Kmeans(
        points.shape[1],
        count,
        niter=_ITERATIONS,
        spherical=True,
        seed=derive(seed, "bundle/genres") & 0x7FFFFFFF,
        min_points_per_centroid=1,
        max_points_per_centroid=_POINTS_A_GENRE,
    )
    clusters.train(points, init_centroids=_spread(points, count, generator(seed, "bundle/genres/start")))
    return np.asarray(clusters.centroids)


def _spread(points: Array, count: int, rng: np.random.Generator) -> Array:
    """First centres, far from each other: k-means++ (Arthur and Vassilvitskii 2007) on points of length 1.

    Drawn at random alone, two centres of one cluster would often leave two clusters to a third.
    """
    chosen = [int(rng.integers(len(points)))]
    distance = np.full(len(points), np.inf, np.float32)
    for _ in range(count - 1):
        # |a - b|^2 = 2 - 2 a . b at length 1.
        distance = np.minimum(distance, np.maximum(2 - 2 * (points @ points[chosen[-1]]), 0))
        running = np.cumsum(distance, dtype=np.float64)
        place = int(np.searchsorted(running, rng.random() * running[-1], side="right"))
        chosen.append(min(place, len(points) - 1))
    return np.ascontiguousarray(points[chosen])


def _nearest(vectors: Array, centres: Array) -> Array:
    """The centre of the largest cosine, the lower one of two; int16 (rows,), -1 for zeros."""
    out = np.full(len(vectors), -1, np.int16)
    for first, last in spans(len(vectors), _BLOCK):
        block = np.asarray(vectors[first:last], np.float32)
        genre = (block @ centres.T).argmax(axis=1)
        out[first:last] = np.where(np.square(block).sum(axis=1) > 0, genre, -1)
    return out


def _unit(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Array = np.ascontiguousarray(vectors / lengths)
    return units


def _popular(genre_of: Array, likes: Array, count: int) -> Csr:
    liked = np.flatnonzero((likes > 0) & (genre_of >= 0))
    order = liked[np.lexsort((liked, -likes[liked], genre_of[liked]))]
    starts = np.searchsorted(genre_of[order], np.arange(count + 1))
    rows = [order[first : min(last, first + POPULAR_A_GENRE)] for first, last in pairwise(starts.tolist())]
    popular = Csr.from_rows(rows, likes.size)
    return Csr(popular.indptr, popular.indices, popular.columns, likes[popular.indices].astype(np.float32))
