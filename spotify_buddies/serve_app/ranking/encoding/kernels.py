"""Writes protobuf's wire format from columns: one pass for the lengths, one for the bytes, no Python per listener.

Format: https://protobuf.dev/programming-guides/encoding/. Fields of proto3 that hold their default are left out, as
protobuf's own serialiser does, and in the order of their numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.prefetch import LINE_BYTES, copy_bytes, prefetch

Array = npt.NDArray[Any]

# Tags: field number * 8 + wire type. They are compared with the proto's descriptor by a test.
RECOMMENDATION = 0x0A
USER_ID = 0x0A
RECOMMENDATION_ID = 0x12
PLAYLIST = 0x1A
SOURCE = 0x30
UNKNOWN_SONGS = 0x40
PLAYLIST_ID = 0x0A
TITLE = 0x12
OWNER_ID = 0x1A
SCORE = 0x25
REASON = 0x2A
SHARED_SONGS = 0x08
EXAMPLE = 0x12
TEXT = 0x1A
SONG_TITLE = 0x0A
SONG_ARTIST = 0x12

ID_BYTES = 32
# Listeners whose playlists are asked for ahead of the one that is encoded.
AHEAD = 4
# How a reason is worded: phrases 3 * k up to 3 * k + 2 are what stands for one, before and after a larger number.
CLOSE = 0
SHARED = 1


@njit(cache=True, nogil=True)
def varint_size(value: int) -> int:
    """Bytes of a varint."""
    size = 1
    while value > 127:
        value >>= 7
        size += 1
    return size


@njit(cache=True, nogil=True)
def put_varint(out: Array, at: int, value: int) -> int:
    """Write a varint and return the place after it."""
    while value > 127:
        out[at] = (value & 127) | 128
        value >>= 7
        at += 1
    out[at] = value
    return at + 1


@njit(cache=True, nogil=True)
def copy(out: Array, at: int, data: Array, first: int, last: int) -> int:
    """Copy bytes and return the place after them."""
    copy_bytes(out, at, data, first, last - first)
    return at + last - first


@njit(cache=True, nogil=True)
def field_size(length: int) -> int:
    """Bytes of a field of `length` bytes with tag and length; 0 bytes are left out."""
    return 1 + varint_size(length) + length if length > 0 else 0


@njit(cache=True, nogil=True)
def put_field(out: Array, at: int, tag: int, offsets: Array, data: Array, row: int) -> int:
    """Write one row of a string table as a field, unless it is empty, and return the place after it."""
    first, last = offsets[row], offsets[row + 1]
    if last > first:
        out[at] = tag
        at = put_varint(out, at + 1, last - first)
        at = copy(out, at, data, first, last)
    return at


@njit(cache=True, nogil=True)
def grouped_size(value: int) -> int:
    """Characters of a number with a comma at the thousands."""
    digits = 1
    while value > 9:
        value //= 10
        digits += 1
    return digits + (digits - 1) // 3


@njit(cache=True, nogil=True)
def put_grouped(out: Array, at: int, value: int) -> int:
    """Write a number with a comma at the thousands and return the place after it."""
    end = at + grouped_size(value)
    place, digits = end - 1, 0
    while place >= at:
        if digits == 3:
            out[place] = 44
            digits = 0
        else:
            out[place] = 48 + value % 10
            value //= 10
            digits += 1
        place -= 1
    return end


@njit(cache=True, nogil=True)
def counted(worded: int, shared: int, score: float) -> int:
    """The number that a reason's sentence tells: songs shared, or the likes that a popular playlist's score holds."""
    return shared if worded <= SHARED else int(score)


@njit(cache=True, nogil=True)
def text_size(worded: int, number: int, phrases: Array) -> int:
    """Bytes of a sentence."""
    if worded == CLOSE or number <= 1:
        return phrases[3 * worded + 1] - phrases[3 * worded]
    return phrases[3 * worded + 3] - phrases[3 * worded + 1] + grouped_size(number)


@njit(cache=True, nogil=True)
def put_text(out: Array, at: int, worded: int, number: int, phrases: Array, phrase_data: Array) -> int:
    """Write a sentence and return the place after it."""
    first = 3 * worded
    if worded == CLOSE or number <= 1:
        return copy(out, at, phrase_data, phrases[first], phrases[first + 1])
    at = copy(out, at, phrase_data, phrases[first + 1], phrases[first + 2])
    at = put_grouped(out, at, number)
    return copy(out, at, phrase_data, phrases[first + 2], phrases[first + 3])


@njit(cache=True, nogil=True)
def name_size(title_offsets: Array, artist_offsets: Array, song: int) -> int:
    """Bytes of a SongName, without its own tag and length."""
    return field_size(title_offsets[song + 1] - title_offsets[song]) + field_size(
        artist_offsets[song + 1] - artist_offsets[song]
    )


@njit(cache=True, nogil=True)
def encode_songs(title_offsets: Array, titles: Array, artist_offsets: Array, artists: Array) -> tuple[Array, Array]:
    """Every song as a field Reason.examples, by row: offsets int64 (songs + 1,), bytes uint8."""
    count = title_offsets.size - 1
    offsets = np.zeros(count + 1, np.int64)
    for song in range(count):
        size = name_size(title_offsets, artist_offsets, song)
        offsets[song + 1] = offsets[song] + 1 + varint_size(size) + size
    out = np.empty(offsets[count], np.uint8)
    for song in range(count):
        at = offsets[song]
        out[at] = EXAMPLE
        at = put_varint(out, at + 1, name_size(title_offsets, artist_offsets, song))
        at = put_field(out, at, SONG_TITLE, title_offsets, titles, song)
        put_field(out, at, SONG_ARTIST, artist_offsets, artists, song)
    return offsets, out


@njit(cache=True, nogil=True)
def encode_playlists(
    id_offsets: Array,
    ids: Array,
    title_offsets: Array,
    titles: Array,
    owner: Array,
    owner_offsets: Array,
    owners: Array,
) -> tuple[Array, Array]:
    """The fields of every RecommendedPlaylist that do not depend on the listener, by row, as from encode_songs."""
    count = owner.size
    offsets = np.zeros(count + 1, np.int64)
    for row in range(count):
        size = field_size(id_offsets[row + 1] - id_offsets[row])
        size += field_size(title_offsets[row + 1] - title_offsets[row])
        if owner[row] >= 0:
            size += field_size(owner_offsets[owner[row] + 1] - owner_offsets[owner[row]])
        offsets[row + 1] = offsets[row] + size
    out = np.empty(offsets[count], np.uint8)
    for row in range(count):
        at = put_field(out, offsets[row], PLAYLIST_ID, id_offsets, ids, row)
        at = put_field(out, at, TITLE, title_offsets, titles, row)
        if owner[row] >= 0:
            put_field(out, at, OWNER_ID, owner_offsets, owners, owner[row])
    return offsets, out


@njit(cache=True, nogil=True)
def reason_size(worded: int, shared: int, score: float, examples: Array, song_offsets: Array, phrases: Array) -> int:
    """Bytes of a Reason, without its own tag and length."""
    size = 1 + varint_size(shared) if shared > 0 else 0
    for song in examples:
        if song >= 0:
            size += song_offsets[song + 1] - song_offsets[song]
    return size + field_size(text_size(worded, counted(worded, shared, score), phrases))


@njit(cache=True, nogil=True)
def put_reason(
    out: Array,
    at: int,
    worded: int,
    shared: int,
    score: float,
    examples: Array,
    songs: Array,
    song_offsets: Array,
    phrases: Array,
    phrase_data: Array,
) -> int:
    """Write the fields of a Reason and return the place after them."""
    if shared > 0:
        out[at] = SHARED_SONGS
        at = put_varint(out, at + 1, shared)
    for song in examples:
        if song >= 0:
            at = copy(out, at, songs, song_offsets[song], song_offsets[song + 1])
    number = counted(worded, shared, score)
    out[at] = TEXT
    at = put_varint(out, at + 1, text_size(worded, number, phrases))
    return put_text(out, at, worded, number, phrases, phrase_data)


@njit(cache=True, nogil=True)
def put_hex(out: Array, at: int, drawn: Array, first: int) -> int:
    """Write ID_BYTES lower-case hexadecimal digits of random bytes and return the place after them."""
    for k in range(ID_BYTES // 2):
        byte = np.int64(drawn[first + k])  # numba makes a float of an unsigned number beside a signed one
        for shift in (4, 0):
            digit = (byte >> shift) & 15
            out[at] = digit + (48 if digit < 10 else 87)
            at += 1
    return at


@njit(cache=True, nogil=True)
def encode(
    asked_offsets: Array,
    asked: Array,
    drawn: Array,
    rows: Array,
    scores: Array,
    score_bits: Array,
    counts: Array,
    head: Array,
    sources: Array,
    worded: Array,
    skipped: Array,
    skipped_offsets: Array,
    skipped_data: Array,
    unknown_songs: Array,
    entry_offsets: Array,
    entry_data: Array,
    explained: bool,
    shared: Array,
    examples: Array,
    song_offsets: Array,
    songs: Array,
    phrases: Array,
    phrase_data: Array,
) -> Array:
    """The lists of listeners as fields RecommendResponse.recommendations, uint8 (bytes,).

    Per listener i: asked[asked_offsets[i]:] the id, drawn[16 * i:] random bytes for recommendation_id, counts[i] of
    rows, scores and score_bits (listeners, limit) filled, the source's number, how reasons are worded, the row of
    (skipped_offsets, skipped_data) that holds the encoded field, and unknown_songs. head: the encoded model_version and
    arm. entry_*: from encode_playlists; song_*: from encode_songs. shared (listeners, limit) and examples (listeners,
    limit, n) are read only where explained.
    """
    listeners, limit = rows.shape
    entries = np.empty((listeners, limit), np.int32)
    reasons = np.zeros((listeners, limit), np.int32)
    lengths = np.empty(listeners, np.int64)
    total = 0
    for i in range(listeners):
        length = field_size(asked_offsets[i + 1] - asked_offsets[i]) + 2 + ID_BYTES + head.size + 2
        if i + AHEAD < listeners:
            for j in range(counts[i + AHEAD]):
                prefetch(entry_offsets, rows[i + AHEAD, j], 0)
        for j in range(counts[i]):
            row = rows[i, j]
            size = entry_offsets[row + 1] - entry_offsets[row]
            prefetch(entry_data, entry_offsets[row], 0)
            prefetch(entry_data, entry_offsets[row], LINE_BYTES)
            size += 5 if score_bits[i, j] != 0 else 0
            if explained:
                kind = CLOSE if worded[i] == SHARED and shared[i, j] == 0 else worded[i]
                reasons[i, j] = reason_size(kind, shared[i, j], scores[i, j], examples[i, j], song_offsets, phrases)
                size += 1 + varint_size(reasons[i, j]) + reasons[i, j]
            entries[i, j] = size
            length += 1 + varint_size(size) + size
        length += skipped_offsets[skipped[i] + 1] - skipped_offsets[skipped[i]]
        length += 1 + varint_size(unknown_songs[i]) if unknown_songs[i] > 0 else 0
        lengths[i] = length
        total += 1 + varint_size(length) + length

    out = np.empty(total, np.uint8)
    at = 0
    for i in range(listeners):
        out[at] = RECOMMENDATION
        at = put_varint(out, at + 1, lengths[i])
        at = put_field(out, at, USER_ID, asked_offsets, asked, i)
        out[at] = RECOMMENDATION_ID
        out[at + 1] = ID_BYTES
        at = put_hex(out, at + 2, drawn, i * (ID_BYTES // 2))
        for j in range(counts[i]):
            row = rows[i, j]
            out[at] = PLAYLIST
            at = put_varint(out, at + 1, entries[i, j])
            at = copy(out, at, entry_data, entry_offsets[row], entry_offsets[row + 1])
            bits = np.int64(score_bits[i, j])
            if bits != 0:
                out[at] = SCORE
                for k in range(4):
                    out[at + 1 + k] = (bits >> (8 * k)) & 255
                at += 5
            if explained:
                kind = CLOSE if worded[i] == SHARED and shared[i, j] == 0 else worded[i]
                out[at] = REASON
                at = put_varint(out, at + 1, reasons[i, j])
                at = put_reason(
                    out, at, kind, shared[i, j], scores[i, j], examples[i, j], songs, song_offsets,
                    phrases, phrase_data,
                )  # fmt: skip
        at = copy(out, at, head, 0, head.size)
        out[at] = SOURCE
        out[at + 1] = sources[i]
        at = copy(out, at + 2, skipped_data, skipped_offsets[skipped[i]], skipped_offsets[skipped[i] + 1])
        if unknown_songs[i] > 0:
            out[at] = UNKNOWN_SONGS
            at = put_varint(out, at + 1, unknown_songs[i])
    return out


@njit(cache=True, nogil=True)
def merge(data: Array, starts: Array, chosen: Array) -> Array:
    """Fields of several messages in one order, uint8 (bytes,).

    data: length-delimited fields with tags of one byte, message after message; starts: where each message's begin.
    Place i takes the next field that is left of message chosen[i].
    """
    out = np.empty(data.size, np.uint8)
    next_at = starts.copy()
    at = 0
    for message in chosen:
        first = next_at[message]
        last, shift, size = first + 1, 0, 0
        while data[last] > 127:
            size |= (int(data[last]) & 127) << shift
            shift += 7
            last += 1
        size |= int(data[last]) << shift
        last += 1 + size
        at = copy(out, at, data, first, last)
        next_at[message] = last
    return out[:at]
