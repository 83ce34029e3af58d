"""What follows from a bundle's other arrays, computed once by its writer, so that no replica does at every swap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.strings import StringTable
from spotify_buddies.foundation.stages.blocks import spans
from spotify_buddies.trainer.bundle.bundle import Bundle

Array = npt.NDArray[Any]

NOVELTY, GENRE, MESSAGES, BITS = "playlist_novelty", "playlist_genre", "playlist_messages", "playlist_song_bits"
# Songs of a playlist whose genres are counted, evenly spread; more change a share by less than a twentieth.
SONGS = 128
_BLOCK = 65_536
# Words of 64 bits that stand for the songs of a playlist: a line of the cache. A song's bit is the highest of its row
# times the golden ratio (Knuth, multiplicative hashing).
WORDS = 8
_GOLDEN, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(64 - (WORDS * 64 - 1).bit_length())
# Tags of playlist_id, title and owner_id in buddies.v1.RecommendedPlaylist: field number * 8 + 2, of texts.
TAGS = (0x0A, 0x12, 0x1A)


def save_derived(bundle: Bundle) -> None:
    """Write the arrays beside those that they follow from; the bundle must have passed its checks."""
    messages_of(bundle).save(bundle.directory, MESSAGES)
    if bundle.playlist_songs is not None:
        novelty = novelty_of(bundle.playlist_songs, bundle.song_listeners, bundle.manifest.users)
        np.save(bundle.directory / f"{NOVELTY}.npy", novelty)
        genre = genre_of(bundle.playlist_songs, bundle.song_genres, bundle.genre_popular.rows)
        np.save(bundle.directory / f"{GENRE}.npy", genre)
        np.save(bundle.directory / f"{BITS}.npy", song_bits_of(bundle.playlist_songs))


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
    """The genre of most of each playlist's songs, the lower one of two; int16 (playlists,), -1 where none has one.

    At most SONGS songs of each are looked at, evenly spread.
    """
    out = np.full(playlist_songs.rows, -1, np.int16)
    indptr, songs = np.asarray(playlist_songs.indptr), np.asarray(playlist_songs.indices)
    most_common(indptr, songs, np.asarray(song_genres), SONGS, np.zeros(genres, np.int64), out)
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def most_common(indptr: Array, songs: Array, genre_of: Array, most: int, counts: Array, out: Array) -> None:
    """As genre_of; counts int64 (genres,) is room to count in. Of a row without a genre, out stays what it is."""
    for row in range(out.size):
        first, last = indptr[row], indptr[row + 1]
        counts[:] = 0
        best = -1
        for place in range(first, last, max(1, (last - first + most - 1) // most)):
            genre = genre_of[songs[place]]
            if genre >= 0:
                counts[genre] += 1
        for genre in range(counts.size):
            if counts[genre] > 0 and (best < 0 or counts[genre] > counts[best]):
                best = genre
        if best >= 0:
            out[row] = best


def song_bits_of(playlist_songs: Csr) -> Array:
    """One bit for each song of each playlist, uint64 (playlists, WORDS); songs may share a bit (Bloom, CACM 1970).

    So as many songs of one playlist are missing in another at least as bits of it are: nearly always enough to see
    that neither is a part of the other.
    """
    out = np.zeros((playlist_songs.rows, WORDS), np.uint64)
    set_bits(np.asarray(playlist_songs.indptr), np.asarray(playlist_songs.indices), out)
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def set_bits(indptr: Array, songs: Array, out: Array) -> None:
    """As song_bits_of; out holds zeros."""
    for row in range(out.shape[0]):
        for place in range(indptr[row], indptr[row + 1]):
            bit = (np.uint64(songs[place]) * _GOLDEN) >> _SHIFT
            out[row, bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))


def messages_of(bundle: Bundle) -> StringTable:
    """The fields of every RecommendedPlaylist that do not depend on its listener, by row, as protobuf writes them."""
    ids, titles, owners, owner = bundle.playlist_ids.table, bundle.playlist_titles, bundle.user_ids.table, bundle.owner
    rows = []
    for row, person in enumerate(owner.tolist()):
        texts = (ids.raw(row), titles.raw(row), owners.raw(person) if person >= 0 else b"")
        rows.append(b"".join(_field(tag, text) for tag, text in zip(TAGS, texts, strict=True) if text))
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return StringTable(offsets, np.frombuffer(b"".join(rows), np.uint8))


def message_sizes(bundle: Bundle) -> Array:
    """The bytes of each row of messages_of, int64 (playlists,): what a bundle that holds them is checked with."""
    owner = np.asarray(bundle.owner)
    owned = np.zeros(owner.size, np.int64)
    owned[owner >= 0] = np.diff(bundle.user_ids.table.offsets)[owner[owner >= 0]]
    texts = (np.diff(bundle.playlist_ids.table.offsets), np.diff(bundle.playlist_titles.offsets), owned)
    total = np.zeros(owner.size, np.int64)
    for sizes in texts:
        total += _field_sizes(sizes)
    return total


def _field(tag: int, text: bytes) -> bytes:
    size, length = bytearray(), len(text)
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    return bytes((tag, *size, length)) + text


def _field_sizes(sizes: Array) -> Array:
    """Of fields that hold texts of these sizes: a tag, the length as a varint, the text; an empty one is left out."""
    digits = np.ones(sizes.size, np.int64)
    for bits in range(7, 63, 7):
        digits += sizes >= 1 << bits
    return np.where(sizes > 0, 1 + digits + sizes, 0)
