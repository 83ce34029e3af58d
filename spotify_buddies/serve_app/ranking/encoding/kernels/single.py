"""One known user, from the id to the bytes of the answer, in one call: what is called for many, one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.encoding.kernels.recommendations import encode_columns
from spotify_buddies.serve_app.ranking.kernels.keys import match_keys
from spotify_buddies.serve_app.ranking.kernels.known import look_up_columns
from spotify_buddies.serve_app.ranking.kernels.retrieval import mark
from spotify_buddies.serve_app.ranking.kernels.scoring import LIVE, rank_columns
from spotify_buddies.serve_app.ranking.kernels.songs import share_columns
from spotify_buddies.serve_app.ranking.kernels.ties import tie_columns

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def answer_one(
    wanted: int,
    key: Array,
    drawn: Array,
    index: tuple[Any, ...],
    held: tuple[Any, ...],
    catalogue: tuple[Any, ...],
    rules: tuple[Any, ...],
    libraries: tuple[Any, ...],
    known: tuple[Any, ...],
    ties: tuple[Any, ...],
    fixed: tuple[Any, ...],
    labels: tuple[Any, ...],
    explained: bool,
    most: int,
    lists: tuple[Any, ...],
) -> Array:
    """Find the user whose id is the bytes `key` with the hash `wanted`, rank, explain, and encode.

    index: hashes, rows, offsets and bytes of the user ids. held: factors of the users, (indptr, rows, scores, source
    bits) of their candidates, and (indptr, songs) of their libraries. labels: by LIVE and POPULAR, the sources' numbers
    in the proto int8, and the kind of a reason that shares nothing int8; then the bits of the pairing and of what is
    popular. most: examples of a reason. The other groups are those of the kernels for many users.

    Returns the bytes and writes lists: the row of the user (1,), -1 for nobody; rows, scores (1, limit), counts and
    sources (1,) as ListColumns, but the source by its number; found_by uint8 (1, limit). No bytes, and nothing else of
    use, where the user has songs and no list of their own: others are to be found for these songs.
    """
    hashes, hash_rows, id_offsets, ids = index
    vectors, indptr, candidates, values, bits, song_indptr, songs = held
    numbers, unshared, pairing, popular = labels
    users, rows, scores, counts, sources, found_by = lists
    limit = rows.shape[1]
    hashed, ends = np.empty(1, np.uint64), np.empty(2, np.int64)
    hashed[0], ends[0], ends[1] = wanted, 0, key.size
    match_keys(hashed, ends, key, hashes, hash_rows, id_offsets, ids, users)
    rows[:], scores[:] = -1, 0.0
    asked = (
        users, vectors, users, indptr, candidates, values, users, np.empty(0, np.int32), np.empty((0, 0), np.float32),
    )  # fmt: skip
    rank_columns(asked, catalogue, rules, (rows, scores, counts, sources))
    source = sources[0]
    if source != LIVE and users[0] >= 0 and song_indptr[users[0] + 1] > song_indptr[users[0]]:
        return np.empty(0, np.uint8)
    mark(indptr, candidates, bits, users, sources, rows, counts, pairing, popular, found_by)
    sources[0] = numbers[source]
    shared, kinds = np.zeros((1, limit), np.int32), np.zeros((1, limit), np.int8)
    examples = np.full((1, limit, most), -1, np.int32)
    if explained:
        said = np.empty(1, np.int8)
        said[0] = unshared[source]
        unexplained = rows, counts, said, users, song_indptr, songs
        codes = np.empty((1, limit), np.uint8)
        look_up_columns(unexplained, known, codes)
        if share_columns(unexplained, libraries, codes, shared, kinds, examples) > 0:
            tie_columns(unexplained, True, ties, shared, kinds, examples)
    steps, unknown = np.zeros(1, np.int8), np.zeros(1, np.int32)
    sent = ends, key, drawn, rows, scores, scores.view(np.uint32), counts, sources, steps, unknown, found_by
    return encode_columns(sent, explained, shared, kinds, examples, fixed)
