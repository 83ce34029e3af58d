"""The invented world: genres, their scenes, artists and songs, with popularities, ids and names."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.trainer.synth.words import TITLE_COUNT, artist_names, song_title

Array = npt.NDArray[Any]

LISTENS, PLAYLISTS = 1, 2
_SCENE_SONGS = 150
# Worlds of at most _SMALL songs have one shape, that of _FULL songs has the counts of the real data, and between the
# two a shape is interpolated by the logarithm of the number of songs.
_SMALL, _FULL = 60_000, 2_397_197
_BASE62 = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", np.uint8)


@dataclass(frozen=True)
class Catalogue:
    """Songs 0..S-1, scene by scene and most popular first; scenes genre by genre.

    genres, scenes, songs: cumulative weights; genre_starts, scene_starts: first scene and song of each, with the end.
    sides uint8 (S,): bits LISTENS and PLAYLISTS, where the song is known. artist_of int32 (S,), artists in CSR form.
    """

    genres: Array
    scenes: Array
    genre_starts: Array
    songs: Array
    scene_starts: Array
    sides: Array
    artist_of: Array
    artist_starts: Array
    artist_songs: Array

    @property
    def size(self) -> int:
        """Number of songs."""
        return int(self.songs.size)

    @property
    def artists(self) -> int:
        """Number of artists."""
        return int(self.artist_starts.size - 1)

    def genre_of(self) -> Array:
        """Genre of each song, int32 (S,)."""
        genre_of_scene = np.repeat(np.arange(self.genres.size), np.diff(self.genre_starts))
        return np.repeat(genre_of_scene, np.diff(self.scene_starts)).astype(np.int32)


@dataclass(frozen=True)
class _Shape:
    """How uneven a world is, and which part of it both sides know.

    genre, scene, song: exponents of the popularity laws; song_shift: the flat part of the last. top: share of a scene's
    songs, the most popular ones, of which 92 % are known on both sides; rest: share of its others that are; heard:
    share of what is left that only listens know.
    """

    genre: float
    scene: float
    song: float
    song_shift: float
    top: float
    rest: float
    heard: float


_SMALL_SHAPE = _Shape(genre=0.6, scene=0.6, song=0.9, song_shift=3.0, top=0.3, rest=0.3, heard=0.4)
# Fitted: of 2,397,197 songs 384 k are heard, 2.13 M are in playlists and 120 k are both; a user shares a song with
# 22 k of 946,000 playlists on average, and with 13 k at the median.
_FULL_SHAPE = _Shape(genre=0.77, scene=0.8, song=0.98, song_shift=2.3, top=0.04, rest=0.013, heard=0.116)


def _shape_of(songs: int) -> _Shape:
    share = float(np.clip(np.log(songs / _SMALL) / np.log(_FULL / _SMALL), 0.0, 1.0))
    small, full = asdict(_SMALL_SHAPE), asdict(_FULL_SHAPE)
    # Geometric for the shares, which fall by a factor; the same for the exponents, which hardly differ.
    return _Shape(**{name: small[name] ** (1.0 - share) * full[name] ** share for name in small})


def make_catalogue(songs: int, seed: int) -> Catalogue:
    """A world of `songs` songs. Popularity follows Zipf-Mandelbrot laws within scenes, over scenes and over genres."""
    rng = generator(seed, "synth/catalogue")
    shape = _shape_of(songs)
    genre_count = int(np.clip(songs // 2_500, 6, 40))
    per_genre = max(1, min(400, round(songs / genre_count / _SCENE_SONGS)))
    scene_count = genre_count * per_genre
    scene_starts = np.linspace(0, songs, scene_count + 1).astype(np.int64)
    ranks = np.arange(songs) - np.repeat(scene_starts[:-1], np.diff(scene_starts))
    scene_of = np.repeat(np.arange(scene_count), np.diff(scene_starts))
    artist_of, artist_count = _draw_artists(scene_starts, rng)
    # People put into playlists what others hear: the popular part of a scene is mostly known on both sides.
    known = rng.random(songs) < np.where(ranks < np.diff(scene_starts)[scene_of] * shape.top, 0.92, shape.rest)
    one_side = np.where(rng.random(songs) < shape.heard, LISTENS, PLAYLISTS)
    order = np.argsort(artist_of, kind="stable")
    starts = np.zeros(artist_count + 1, np.int64)
    np.cumsum(np.bincount(artist_of, minlength=artist_count), out=starts[1:])
    return Catalogue(
        genres=np.cumsum(_zipf(np.arange(genre_count), shape.genre, 1.0)),
        scenes=np.cumsum(_zipf(np.arange(scene_count) % per_genre, shape.scene, 2.0)),
        genre_starts=np.arange(genre_count + 1) * per_genre,
        songs=np.cumsum(_zipf(ranks, shape.song, shape.song_shift)),
        scene_starts=scene_starts,
        sides=np.where(known, LISTENS | PLAYLISTS, one_side).astype(np.uint8),
        artist_of=artist_of,
        artist_starts=starts,
        artist_songs=order.astype(np.int32),
    )


def _zipf(rank: Array, exponent: float, shift: float) -> Array:
    return (rank + shift) ** -exponent


def _draw_artists(scene_starts: Array, rng: np.random.Generator) -> tuple[Array, int]:
    """About six songs per artist on average, a few artists with many; every artist stays in one scene."""
    sizes = np.diff(scene_starts)
    counts = np.maximum(sizes // 6, 1)
    first = np.concatenate([[0], np.cumsum(counts)])
    local = np.floor(rng.random(int(sizes.sum())) ** 1.7 * np.repeat(counts, sizes))
    artist = np.repeat(first[:-1], sizes) + local.astype(np.int64)
    return artist.astype(np.int32), int(first[-1])


@dataclass(frozen=True)
class Names:
    """What a song is called: title (S,), artist of each artist number, Taste Profile and Spotify ids."""

    titles: list[str]
    artists: list[str]
    song_ids: list[str]
    track_ids: list[str]
    uris: list[str]


def make_names(world: Catalogue, seed: int) -> Names:
    """Names and ids; no two songs of an artist share a title, no two songs share an id."""
    rng = generator(seed, "synth/names")
    position = np.empty(world.size, np.int64)
    counts = np.diff(world.artist_starts)
    position[world.artist_songs] = np.arange(world.size) - np.repeat(world.artist_starts[:-1], counts)
    # 7,919 is prime to the number of titles, so an artist's songs walk through different ones.
    numbers = (rng.integers(0, TITLE_COUNT, world.artists)[world.artist_of] + position * 7_919) % TITLE_COUNT
    titles = {number: song_title(int(number)) for number in np.unique(numbers)}
    codes = _letters(np.arange(world.size), 5)
    tails = rng.integers(0, 16**9, (world.size, 2))
    return Names(
        titles=[titles[number] for number in numbers.tolist()],
        artists=artist_names(world.artists),
        song_ids=[f"SO{code}12{tail:09X}" for code, tail in zip(codes, tails[:, 0].tolist(), strict=True)],
        track_ids=[
            f"TR{code}128F{tail & 0xFFFFFFF:07X}" for code, tail in zip(codes, tails[:, 1].tolist(), strict=True)
        ],
        uris=base62(rng, world.size),
    )


def base62(rng: np.random.Generator, count: int) -> list[str]:
    """`count` random ids of 22 base-62 digits, the form of a Spotify id."""
    text = _BASE62[rng.integers(0, 62, (count, 22))].tobytes().decode("ascii")
    return [text[i : i + 22] for i in range(0, len(text), 22)]


def _letters(numbers: Array, width: int) -> list[str]:
    """Different letters for different numbers below 26 ** width, not in alphabetical order."""
    codes = (numbers * 7_368_787 + 1_234_567) % 26**width
    digits = (codes[:, None] // 26 ** np.arange(width)) % 26
    text = (digits + ord("A")).astype(np.uint8).tobytes().decode("ascii")
    return [text[i : i + width] for i in range(0, len(text), width)]
