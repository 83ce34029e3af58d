"""A bundle of a given shape, quickly, to measure serving on: factors and candidates are drawn, not learned."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.neighbours.search import build_index
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.bench.walks import Way, draw_candidates
from spotify_buddies.trainer.bundle import SKETCH_BYTES, Bundle, BundleParts, write_bundle
from spotify_buddies.trainer.synth.words import TITLE_COUNT, artist_names, playlist_names, song_title

Array = npt.NDArray[Any]

# Songs heard by rank, as in music: the share of rank r falls as 1 / (r + shift) ** exponent.
_EXPONENT, _SHIFT = 0.9, 20.0
_OWNED_BY_NOBODY = 0.1
_POPULAR = 1_000
_GENRES = 32
_SONGS_AN_ARTIST = 10
# Of each user: playlists that are followed, and people beside them.
_FOLLOWED, _BESIDE = 20, 50
# How candidates are reached, the rest by chance: of 100 that are served the owners of 60 share a song with the user, 24
# hold one, 9 have artists or followers in common, and 7 nothing. Of the real sample it is 73, 9, 10 and 7, of AttList,
# whose playlists have no owners, 0, 80, 19 and 1 (docs/benchmarks.md).
_BY_LISTENERS, _BY_SONGS, _BY_FOLLOWERS = 0.58, 0.18, 0.12


@dataclass(frozen=True)
class Shape:
    """Counts of a serving bundle. songs_a_user, songs_a_playlist: mean lengths; candidates: playlists of each user."""

    users: int = 100_000
    playlists: int = 180_000
    dimension: int = 128
    candidates: int = 75
    songs: int = 50_000
    songs_a_user: int = 26
    songs_a_playlist: int = 60


def write_serving_bundle(directory: Path, shape: Shape, seed: int = 42, progress: Progress = silent) -> Bundle:
    """Write a bundle of this shape, replacing what is there: the same shape and seed give the same bytes.

    Ids, titles and names have lengths as in the public data, every user a full set of candidates and a library,
    the index is a real one. ValueError: fewer playlists than candidates, or fewer songs than a library.
    """
    most = 2 * max(shape.songs_a_user, shape.songs_a_playlist)
    if shape.playlists < shape.candidates or shape.songs < most:
        raise ValueError(f"{shape}: a user needs {shape.candidates} playlists, a playlist or library {most} songs")
    rng = generator(seed, "bench/serving")
    user_songs = _song_sets(shape.users, shape.songs_a_user, shape.songs, rng, progress)
    with tempfile.TemporaryDirectory(dir=_made(directory.parent), prefix=".serving-") as scratch:
        index = Path(scratch) / "index"
        index.mkdir()
        build_index(user_songs, index, PairingSettings(), progress=progress)
        progress("write the bundle", 0, 1, "bundles")
        parts = _parts(shape, user_songs, index, rng)
        playlist_songs = _song_sets(shape.playlists, shape.songs_a_playlist, shape.songs, rng, progress)
        followed = _pairs(shape.users, shape.playlists, _FOLLOWED, rng)
        beside = _pairs(shape.users, shape.users, _BESIDE, rng)
        ways = (
            Way(_BY_LISTENERS, (user_songs, user_songs.transpose(), parts.owned)),
            Way(_BY_SONGS, (user_songs, playlist_songs.transpose())),
            Way(_BY_FOLLOWERS, (beside, followed)),
        )
        made = write_bundle(
            directory,
            replace(
                parts,
                candidates=draw_candidates(shape.users, shape.playlists, shape.candidates, ways, rng, progress),
                playlist_songs=playlist_songs,
                artist_rows=np.arange(shape.songs, dtype=np.int32) % _artists(shape),
                followed=followed,
                co_followers=beside,
                refused=followed,
            ),
        )
        progress("write the bundle", 1, 1, "bundles")
        return made


def _parts(shape: Shape, user_songs: Csr, index: Path, rng: np.random.Generator) -> BundleParts:
    owner = rng.integers(0, shape.users, shape.playlists).astype(np.int32)
    owner[rng.random(shape.playlists) < _OWNED_BY_NOBODY] = -1
    popular = rng.permutation(shape.playlists)[:_POPULAR].astype(np.int32)
    artists = artist_names(_artists(shape))
    return BundleParts(
        user_factors=_factors(shape.users, shape.dimension, rng),
        playlist_factors=_factors(shape.playlists, shape.dimension, rng),
        candidates=Csr(np.zeros(shape.users + 1, np.int64), np.empty(0, np.int32), shape.playlists),
        user_songs=user_songs,
        owned=_owned(owner, shape.users),
        owner=owner,
        popular=popular,
        popular_scores=np.sort(rng.integers(1, 10_000, popular.size))[::-1].astype(np.float32),
        # As in Taste Profile: 40 hexadecimal digits, and song ids of 18 characters.
        user_ids=[number.hex() for number in _numbers(shape.users, 20, rng)],
        playlist_ids=[str(1_000_000 + number) for number in range(shape.playlists)],
        playlist_titles=playlist_names(shape.playlists, rng, dirt=False),
        song_titles=[song_title(number % TITLE_COUNT) for number in range(shape.songs)],
        song_artists=[artists[number % len(artists)] for number in range(shape.songs)],
        song_ids=[f"SO{number.hex().upper()}" for number in _numbers(shape.songs, 8, rng)],
        song_id_rows=np.arange(shape.songs, dtype=np.int32),
        index=index,
        sketches=rng.integers(0, 256, (shape.playlists, SKETCH_BYTES), np.uint8),
        song_genres=rng.integers(0, _GENRES, shape.songs).astype(np.int16),
        genre_popular=_genres(shape.playlists, rng),
        matching="plain",
        dataset_fingerprint="drawn",
        training={"drawn": "random factors and candidates, for measuring how they are served"},
        metrics={},
    )


def _artists(shape: Shape) -> int:
    return max(1, shape.songs // _SONGS_AN_ARTIST)


def _pairs(rows: int, columns: int, most: int, rng: np.random.Generator) -> Csr:
    """Rows x columns, ascending: at most so many columns of each row, evenly drawn, never the row's own number."""
    drawn = rng.integers(0, columns, (rows, most)).astype(np.int64)
    own = np.arange(rows)[:, None]
    keys = np.unique((own * columns + drawn)[drawn != own])
    indptr = np.searchsorted(keys, np.arange(rows + 1, dtype=np.int64) * columns)
    return Csr(indptr.astype(np.int64), (keys % columns).astype(np.int32), columns)


def _song_sets(sets: int, mean: int, songs: int, rng: np.random.Generator, progress: Progress) -> Csr:
    """Sets x songs, ascending: lengths geometric around the mean, songs by popularity, each once in a set."""
    weights = (np.arange(songs) + _SHIFT) ** -_EXPONENT
    below = np.cumsum(weights / weights.sum())
    lengths = np.minimum(rng.geometric(1 / mean, sets) + 2, 2 * mean)
    rows = []
    for number, length in enumerate(lengths.tolist(), 1):
        drawn = np.minimum(np.searchsorted(below, rng.random(length)), songs - 1)
        rows.append(np.unique(drawn).astype(np.int32))
        progress("draw song sets", number, sets, "sets")
    return Csr.from_rows(rows, songs)


def _genres(playlists: int, rng: np.random.Generator) -> Csr:
    """Genres x playlists, best first, with likes: as many of each genre as are popular altogether."""
    most = min(_POPULAR, playlists)
    likes = np.sort(rng.integers(1, 1_000, (_GENRES, most)), axis=1)[:, ::-1].astype(np.float32)
    rows = np.stack([rng.permutation(playlists)[:most] for _ in range(_GENRES)]).astype(np.int32)
    indptr = np.arange(_GENRES + 1, dtype=np.int64) * most
    return Csr(indptr, rows.reshape(-1), playlists, likes.reshape(-1))


def _owned(owner: Array, users: int) -> Csr:
    """Users x playlists from the owner of each playlist."""
    order = np.argsort(owner, kind="stable")[int((owner < 0).sum()) :]
    indptr = np.zeros(users + 1, np.int64)
    np.cumsum(np.bincount(owner[owner >= 0], minlength=users), out=indptr[1:])
    return Csr(indptr, order.astype(np.int32), owner.size)


def _factors(rows: int, dimension: int, rng: np.random.Generator) -> Array:
    return rng.standard_normal((rows, dimension), np.float32) / np.float32(np.sqrt(dimension))


def _numbers(count: int, width: int, rng: np.random.Generator) -> list[bytes]:
    """Random bytes, `width` for each of `count`."""
    data = rng.bytes(count * width)
    return [data[first : first + width] for first in range(0, count * width, width)]


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory
