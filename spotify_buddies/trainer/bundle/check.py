"""The checks of an opened bundle: types and sizes that fit together, row numbers within their tables.

A right hash says that a file is what its writer wrote, not that its writer was right. Kernels index without checks, so
a row out of range would read somebody else's memory, or end the process. Every check here is one or two walks over an
array, without a copy. Texts are walked over too: a client drops a whole response for one string that is no UTF-8.
That takes about 45 ms for a million mixed strings of 20 bytes and 10 ms for a million ASCII ids of 40, so it is done at
every opening, with or without hashes.

Factors, sketches and scores of candidates are not walked over: no number of theirs is used as a place, and they are
most of a bundle. Whether they are finite, the engine asks of the few scores that it answers with (NonFiniteScores).
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.strings import KeyIndex, StringTable
from spotify_buddies.trainer.bundle.bundle import OPTIONAL_ROWS, SKETCH_BYTES, Bundle
from spotify_buddies.trainer.bundle.derived import MESSAGES, WORDS, message_sizes
from spotify_buddies.trainer.bundle.golden import GOLDEN
from spotify_buddies.trainer.bundle.manifest import BundleError
from spotify_buddies.trainer.bundle.reasons.codes import MOST_CODE
from spotify_buddies.trainer.bundle.sources import ALL

Array = npt.NDArray[Any]

# Counts of people are written as digits into buffers of a fixed size.
MOST_PEOPLE = 2**31 - 1
_LARGEST = float(np.finfo(np.float32).max)
# Bytes decoded at a time.
_TEXT_BLOCK = 1 << 20
_ADVICE = "write the bundle again, do not serve it"


class _Column(NamedTuple):
    """An array that is indexed by, or indexes: its file, its type and length, and the numbers that it may hold."""

    file: str
    array: Array
    dtype: type[np.generic]
    length: int
    low: float
    high: float


def check(bundle: Bundle) -> None:
    """Check once what kernels rely on. BundleError names the array, and the first entry that is wrong."""
    _check_sizes(bundle)
    _check_factors(bundle)
    for matrix in ("candidates", "user_songs", "owned", "genre_popular", *OPTIONAL_ROWS):
        if (rows := getattr(bundle, matrix)) is not None:
            _check_types(bundle, matrix, rows)
    for name in ("user_ids", "playlist_ids", "song_ids", "song_keys"):
        _check_index(bundle, name, getattr(bundle, name))
    if bundle.song_aliases is not None:
        _check_index(bundle, "song_aliases", bundle.song_aliases)
    for name in ("playlist_titles", "song_titles", "song_artists"):
        _check_strings(bundle, name, getattr(bundle, name))
    for column in (*_columns(bundle), *_optional_columns(bundle)):
        _check_column(bundle, column)
    _check_messages(bundle)
    _check_golden(bundle)


def _columns(bundle: Bundle) -> tuple[_Column, ...]:
    users, playlists, songs = bundle.manifest.users, bundle.manifest.playlists, bundle.manifest.songs
    genres, popular = bundle.genre_popular, bundle.popular.size
    likes = np.empty(0, np.float32) if genres.values is None else genres.values
    ids = len(bundle.song_ids.table)
    return (
        _Column("owner.npy", bundle.owner, np.int32, playlists, -1, users - 1),
        _Column("popular.npy", bundle.popular, np.int32, popular, 0, playlists - 1),
        _Column("popular_scores.npy", bundle.popular_scores, np.float32, popular, 0, MOST_PEOPLE),
        _Column("genre_popular.values.npy", likes, np.float32, genres.nnz, 0, MOST_PEOPLE),
        _Column("song_listeners.npy", bundle.song_listeners, np.int32, songs, 0, users),
        _Column("song_genres.npy", bundle.song_genres, np.int16, songs, -1, genres.rows - 1),
        _Column("song_id_rows.npy", bundle.song_id_rows, np.int32, ids, 0, songs - 1),
    )


def _optional_columns(bundle: Bundle) -> tuple[_Column, ...]:
    entries, d = bundle.candidates.nnz, bundle.manifest.dimension
    aliases = 0 if bundle.song_aliases is None else len(bundle.song_aliases.table)
    wanted = (
        ("candidate_sources", np.uint8, entries, 0, ALL),
        ("candidate_reasons", np.uint8, entries, 0, MOST_CODE),
        # Any number that is one: NaN and infinity would decide an order, or be one of the scores that are refused.
        ("candidate_offsets", np.float32, entries, -_LARGEST, _LARGEST),
        ("retrieval_scale", np.float32, d, -_LARGEST, _LARGEST),
        ("song_alias_rows", np.int32, aliases, 0, bundle.manifest.songs - 1),
        ("artist_rows", np.int32, bundle.manifest.songs, -1, bundle.manifest.songs - 1),
        ("playlist_novelty", np.float32, bundle.manifest.playlists, 0, 1),
        ("playlist_genre", np.int16, bundle.manifest.playlists, -1, bundle.genre_popular.rows - 1),
    )
    return tuple(
        _Column(f"{name}.npy", array, dtype, length, low, high)
        for name, dtype, length, low, high in wanted
        if (array := getattr(bundle, name)) is not None
    )


def _check_column(bundle: Bundle, column: _Column) -> None:
    file, array, dtype, length, low, high = column
    if array.dtype != dtype or array.shape != (length,):
        _refuse(bundle, file, f"{array.dtype} {array.shape}, not {np.dtype(dtype)} ({length},)")
    # Written so that NaN, which compares with nothing, is out of range too. As float64, which holds every int32: numpy
    # would round the limit to float32, where 2**31 - 1 is 2**31.
    if array.size and not (low <= float(array.min()) and float(array.max()) <= high):
        wide = array.astype(np.float64)
        first = int(np.flatnonzero(~((wide >= low) & (wide <= high)))[0])
        _refuse(bundle, file, f"entry {first} is {array[first]}, outside {low}..{high}")


def _check_index(bundle: Bundle, name: str, index: KeyIndex) -> None:
    _check_strings(bundle, name, index.table)
    count, hashes = len(index.table), index.hashes
    _check_column(bundle, _Column(f"{name}.rows.npy", index.rows, np.int32, count, 0, count - 1))
    if hashes.dtype != np.uint64 or hashes.shape != (count,):
        _refuse(bundle, f"{name}.hashes.npy", f"{hashes.dtype} {hashes.shape}, not uint64 ({count},)")
    # Keys are looked up by bisection.
    _check_rising(bundle, f"{name}.hashes.npy", hashes)


def _check_strings(bundle: Bundle, name: str, table: StringTable) -> None:
    offsets, data = table.offsets, table.data
    file = f"{name}.offsets.npy"
    if offsets.dtype != np.int64 or data.dtype != np.uint8 or offsets.ndim != 1 or data.ndim != 1:
        _refuse(bundle, file, f"{offsets.dtype} {offsets.shape} into {data.dtype} {data.shape}, not int64 into uint8")
    if offsets[0] != 0:
        _refuse(bundle, file, f"entry 0 is {offsets[0]}, not 0")
    _check_rising(bundle, file, offsets)
    if offsets[-1] != data.size:
        _refuse(bundle, file, f"entry {offsets.size - 1} is {offsets[-1]}, but {name}.bytes.npy holds {data.size}")
    _check_text(bundle, name, table)


def _check_messages(bundle: Bundle) -> None:
    """The sizes that follow from the texts which the messages hold: the texts themselves are checked where they are."""
    if (messages := bundle.playlist_messages) is None:
        return
    file, sizes = f"{MESSAGES}.offsets.npy", message_sizes(bundle)
    if messages.data.dtype != np.uint8 or messages.data.shape != (int(sizes.sum()),):
        _refuse(
            bundle, f"{MESSAGES}.bytes.npy", f"{messages.data.dtype} {messages.data.shape}, not uint8 ({sizes.sum()},)"
        )
    if messages.offsets.dtype != np.int64 or messages.offsets.shape != (sizes.size + 1,):
        _refuse(bundle, file, f"{messages.offsets.dtype} {messages.offsets.shape}, not int64 ({sizes.size + 1},)")
    wrong = np.flatnonzero(np.diff(messages.offsets, prepend=0) != np.concatenate([np.zeros(1, np.int64), sizes]))
    if wrong.size:
        _refuse(bundle, file, f"entry {wrong[0]} is {messages.offsets[wrong[0]]}, which does not fit the texts")


def _check_text(bundle: Bundle, name: str, table: StringTable) -> None:
    """UTF-8, string by string: the bytes are sent as they are, and a client drops a whole response for one wrong byte.

    All bytes are valid together, and no string begins inside a character: then each one is valid by itself.
    """
    offsets, data = table.offsets, table.data
    starts = offsets[offsets < data.size]
    inside = (data[starts] & 0xC0) == 0x80
    if inside.any():
        _refuse(bundle, f"{name}.bytes.npy", f"entry {int(np.flatnonzero(inside)[0])} begins inside a character")
    first = 0
    while first < len(table):
        # At string boundaries, so that no character is cut; a string may be longer than a block.
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + _TEXT_BLOCK, side="right")) - 1)
        try:
            str(data[offsets[first] : offsets[last]].data, "utf-8")
        except UnicodeDecodeError as error:
            entry = int(np.searchsorted(offsets, offsets[first] + error.start, side="right")) - 1
            _refuse(bundle, f"{name}.bytes.npy", f"entry {entry} is no UTF-8 ({error.reason})")
        first = last


def _check_rising(bundle: Bundle, file: str, array: Array) -> None:
    falls = array[1:] < array[:-1]
    if falls.any():
        first = int(np.flatnonzero(falls)[0]) + 1
        _refuse(bundle, file, f"entry {first} is {array[first]}, less than the one before it, {array[first - 1]}")


def _check_types(bundle: Bundle, name: str, rows: Csr) -> None:
    """The types of a matrix, whose ranges were checked when it was mapped."""
    wanted: dict[str, tuple[Array, type[np.generic]]] = {
        "indptr": (rows.indptr, np.int64),
        "indices": (rows.indices, np.int32),
    }
    if rows.values is not None:
        wanted["values"] = rows.values, np.float32
    for part, (array, dtype) in wanted.items():
        if array.dtype != dtype:
            _refuse(bundle, f"{name}.{part}.npy", f"{array.dtype}, not {np.dtype(dtype)}")


def _check_factors(bundle: Bundle) -> None:
    """The types of what is multiplied; kernels are compiled for these."""
    wanted: dict[str, tuple[Array, type[np.generic]]] = {
        "user_factors": (bundle.user_factors, np.float32),
        "playlist_factors": (bundle.playlist_factors, np.float32),
        "sketches": (bundle.sketches, np.uint8),
    }
    if bundle.playlist_song_bits is not None:
        wanted["playlist_song_bits"] = bundle.playlist_song_bits, np.uint64
    if (songs := bundle.song_factors) is not None:
        wanted |= {"song_factors": (songs.taste, np.float16), "song_factors' likes": (songs.likes, np.float16)}
        wanted |= {"song_factors' weights": (songs.weights, np.float32)}
    for name, (array, dtype) in wanted.items():
        if array.dtype != dtype:
            raise BundleError(f"{bundle.directory}: {name} are {array.dtype}, not {np.dtype(dtype)}; {_ADVICE}")


def _check_golden(bundle: Bundle) -> None:
    """Ids and scores are compared by whoever serves the bundle; an empty list would compare with nothing."""
    for entry, one in enumerate(bundle.golden):
        if not one.playlist_ids:
            _refuse(bundle, GOLDEN, f"entry {entry}, of user {one.user_id!r}, holds no playlists")


def _check_sizes(bundle: Bundle) -> None:
    users, playlists, songs = bundle.manifest.users, bundle.manifest.playlists, bundle.manifest.songs
    d = bundle.manifest.dimension
    sizes = {
        "user_factors": (bundle.user_factors.shape, (users, d)),
        "playlist_factors": (bundle.playlist_factors.shape, (playlists, d)),
        "candidates": ((bundle.candidates.rows, bundle.candidates.columns), (users, playlists)),
        "user_songs": ((bundle.user_songs.rows, bundle.user_songs.columns), (users, songs)),
        "owned": ((bundle.owned.rows, bundle.owned.columns), (users, playlists)),
        "owner": (bundle.owner.shape, (playlists,)),
        "popular_scores": (bundle.popular_scores.shape, bundle.popular.shape),
        "song_listeners": (bundle.song_listeners.shape, (songs,)),
        "sketches": (bundle.sketches.shape, (playlists, SKETCH_BYTES)),
        "song_genres": (bundle.song_genres.shape, (songs,)),
        "genre_popular": ((bundle.genre_popular.columns,), (playlists,)),
        "user_ids": ((len(bundle.user_ids.table),), (users,)),
        "playlist_ids": ((len(bundle.playlist_ids.table),), (playlists,)),
        "song_id_rows": (bundle.song_id_rows.shape, (len(bundle.song_ids.table),)),
        "playlist_titles": ((len(bundle.playlist_titles),), (playlists,)),
        "song_titles": ((len(bundle.song_titles),), (songs,)),
        "song_artists": ((len(bundle.song_artists),), (songs,)),
        "song_keys": ((len(bundle.song_keys.table),), (songs,)),
    }
    optional = ((playlists, songs), (users, playlists), (users, users), (users, playlists))
    for name, shape_of in zip(OPTIONAL_ROWS, optional, strict=True):
        if (rows := getattr(bundle, name)) is not None:
            sizes[name] = ((rows.rows, rows.columns), shape_of)
    if bundle.playlist_song_bits is not None:
        sizes["playlist_song_bits"] = (bundle.playlist_song_bits.shape, (playlists, WORDS))
    if bundle.song_factors is not None:
        made = bundle.song_factors
        sizes["song_factors"] = ((made.taste.shape[0], made.dimension), (songs, d))
        sizes["song_factors' likes"] = (made.likes.shape[:1], (songs,))
        sizes["song_factors' weights"] = (made.weights.shape, (songs,))
        sizes["song_factors' taste_length"] = (made.taste_length.shape, (1,))
        if made.likes_scale is not None:
            sizes["song_factors' likes_scale"] = (made.likes_scale.shape, (1,))
    for name, (shape, expected) in sizes.items():
        if tuple(shape) != expected:
            raise BundleError(f"{bundle.directory}: {name} has shape {tuple(shape)}, the manifest says {expected}")
    if (bundle.followed is None) != (bundle.co_followers is None):
        raise BundleError(f"{bundle.directory}: followed and co_followers go together, and one is missing; {_ADVICE}")
    if bundle.candidates.values is None:
        raise BundleError(f"{bundle.directory}: candidates have no scores; write the bundle again with this release")
    genres = bundle.genre_popular.rows
    if bundle.genre_popular.values is None or int(bundle.song_genres.max(initial=-1)) >= genres:
        raise BundleError(f"{bundle.directory}: song_genres and genre_popular, of {genres} genres, do not fit together")


def _refuse(bundle: Bundle, file: str, problem: str) -> NoReturn:
    raise BundleError(f"{bundle.directory / file}: {problem}; {_ADVICE}")
