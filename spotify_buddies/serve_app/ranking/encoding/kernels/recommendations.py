"""Lists as messages: one pass for the lengths, one for the bytes, no Python per user.

Fields come in the order of their numbers, as protobuf's own serialiser writes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.encoding.kernels.columns import Fixed, Sent
from spotify_buddies.serve_app.ranking.encoding.kernels.reasons import put_reason
from spotify_buddies.serve_app.ranking.encoding.kernels.tags import (
    ID_BYTES,
    PLAYLIST,
    REASON,
    RECOMMENDATION,
    RECOMMENDATION_ID,
    SCORE,
    SOURCE,
    UNKNOWN_SONGS,
    USER_ID,
)
from spotify_buddies.serve_app.ranking.encoding.kernels.wire import (
    begin,
    copy,
    end,
    put_bits,
    put_byte,
    put_field,
    put_head,
    put_hex,
    put_row,
    put_varint,
)
from spotify_buddies.serve_app.ranking.prefetch import LINE_BYTES, borrowed, prefetch

Array = npt.NDArray[Any]

# Users whose playlists are requested from memory ahead of the one that is encoded.
AHEAD = 4


def encode(sent: Sent, explained: bool, shared: Array, kinds: Array, examples: Array, fixed: Fixed) -> Array:
    """The lists as fields RecommendResponse.recommendations, uint8 (bytes,).

    shared, kinds (users, limit) and examples (users, limit, n), song rows, -1 padded, are read only where explained.
    """
    encoded: Array = encode_columns(tuple(sent), explained, shared, kinds, examples, tuple(fixed))
    return encoded


@njit(cache=True, nogil=True)
def encode_columns(
    sent: tuple[Any, ...], explained: bool, shared: Array, kinds: Array, examples: Array, fixed: tuple[Any, ...]
) -> Array:
    """As encode, with the fields of Sent and Fixed."""
    users, limit = sent[3].shape
    sizes = np.empty(users, np.int64), np.empty(users * limit, np.int64), np.empty(users * limit, np.int64)
    out = np.empty(put_all(None, sent, explained, shared, kinds, examples, fixed, sizes), np.uint8)
    put_all(out, sent, explained, shared, kinds, examples, fixed, sizes)
    return out


@njit(cache=True, nogil=True)
def fetch_ahead(rows: Array, counts: Array, offsets: Array, data: Array, i: int) -> None:
    """Request the entries of user i's playlists, and where those of a later user's are, from memory."""
    if i + AHEAD < counts.size:
        for j in range(counts[i + AHEAD]):
            prefetch(offsets, rows[i + AHEAD, j], 0)
    for j in range(counts[i]):
        # Most entries are no longer than two lines.
        prefetch(data, offsets[rows[i, j]], 0)
        prefetch(data, offsets[rows[i, j]], LINE_BYTES)


@njit(cache=True, nogil=True)
def fetch_examples(examples: Array, counts: Array, offsets: Array, data: Array, i: int) -> None:
    """As fetch_ahead, for the songs that a user's reasons name. Artists of songs are few, and mostly there already."""
    if i + AHEAD < counts.size:
        for j in range(counts[i + AHEAD]):
            for song in examples[i + AHEAD, j]:
                if song >= 0:
                    prefetch(offsets, song, 0)
    for j in range(counts[i]):
        for song in examples[i, j]:
            if song >= 0:
                prefetch(data, offsets[song], 0)


@njit(cache=True, nogil=True)
def put_id(out: Array | None, place: int, drawn: Array, i: int) -> int:
    """The field recommendation_id of user i, from the random bytes of all."""
    return put_hex(out, put_head(out, place, RECOMMENDATION_ID, np.int64(ID_BYTES)), drawn, i * (ID_BYTES // 2))


@njit(cache=True, nogil=True)
def put_source(out: Array | None, place: int, source: int) -> int:
    """The field source."""
    return put_byte(out, put_byte(out, place, SOURCE), np.int64(source))


@njit(cache=True, nogil=True)
def put_all(
    out: Array | None,
    sent: tuple[Any, ...],
    explained: bool,
    shared: Array,
    kinds: Array,
    examples: Array,
    fixed: tuple[Any, ...],
    sizes: tuple[Array, ...],
) -> int:
    """The fields of all users. sizes: of recommendations, playlists and reasons; counting fills them, writing reads."""
    # Taken apart once: numba counts a reference whenever an array is read from a tuple, unless it is borrowed.
    (out,), sent, fixed, sizes = borrowed((out,)), borrowed(sent), borrowed(fixed), borrowed(sizes)
    id_offsets, ids, drawn, rows, scores, bits, counts, sources, skipped, unknown, found_by = sent
    head, skipped_offsets, skips, entry_offsets, entries, song_offsets, songs = fixed[:7]
    phrase_offsets, phrases, found_offsets, found, artist_offsets, artists = fixed[7:]
    sizes_all, sizes_playlist, sizes_reason = sizes
    place = 0
    for i in range(counts.size):
        if out is None:
            fetch_ahead(rows, counts, entry_offsets, entries, i)
            if explained:
                fetch_examples(examples, counts, song_offsets, songs, i)
        place = start = begin(out, place, RECOMMENDATION, sizes_all[i])
        place = put_id(out, put_field(out, place, USER_ID, id_offsets, ids, i), drawn, i)
        for j in range(counts[i]):
            k = i * rows.shape[1] + j
            place = start_playlist = begin(out, place, PLAYLIST, sizes_playlist[k])
            place = put_row(out, place, entry_offsets, entries, np.int64(rows[i, j]))
            place = put_bits(out, place, SCORE, np.int64(bits[i, j]))
            if explained:
                place = start_reason = begin(out, place, REASON, sizes_reason[k])
                place = put_reason(
                    out, place, kinds[i, j], shared[i, j], scores[i, j], examples[i, j], song_offsets, songs,
                    artist_offsets, artists, phrase_offsets, phrases,
                )  # fmt: skip
                place = end(out, place, start_reason, REASON, sizes_reason, k)
            place = put_row(out, place, found_offsets, found, np.int64(found_by[i, j]))
            place = end(out, place, start_playlist, PLAYLIST, sizes_playlist, k)
        place = put_source(out, copy(out, place, head, 0, head.size), sources[i])
        place = put_row(out, place, skipped_offsets, skips, np.int64(skipped[i]))
        if unknown[i] > 0:
            place = put_varint(out, put_byte(out, place, UNKNOWN_SONGS), np.int64(unknown[i]))
        place = end(out, place, start, RECOMMENDATION, sizes_all, i)
    return place
