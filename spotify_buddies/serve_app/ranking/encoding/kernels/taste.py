"""One taste, from its songs and their nearest users to the bytes of the answer, in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spotify_buddies.serve_app.ranking.encoding.kernels.recommendations import encode_columns
from spotify_buddies.serve_app.ranking.kernels.columns import ListRules, Ragged
from spotify_buddies.serve_app.ranking.kernels.gather import fold, gather_owned
from spotify_buddies.serve_app.ranking.kernels.keys import match_keys
from spotify_buddies.serve_app.ranking.kernels.retrieval import join, mark
from spotify_buddies.serve_app.ranking.kernels.scoring import rank_columns
from spotify_buddies.serve_app.ranking.kernels.songs import share_columns
from spotify_buddies.serve_app.ranking.kernels.ties import tie_columns

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def answer_taste(
    wanted: int,
    key: Array,
    drawn: Array,
    index: tuple[Any, ...],
    taste: tuple[Any, ...],
    nearest: Array,
    owned: tuple[Any, ...],
    most: int,
    share: int,
    catalogue: tuple[Any, ...],
    rules: tuple[Any, ...],
    libraries: tuple[Any, ...],
    ties: tuple[Any, ...],
    fixed: tuple[Any, ...],
    labels: tuple[Any, ...],
    explained: bool,
    examples: int,
    lists: tuple[Any, ...],
) -> Array:
    """Gather candidates of one taste, rank, explain, and encode. The bytes of its user_id are `key`, hash `wanted`.

    index: hashes, rows, offsets and bytes of the user ids. taste: from count_taste, the songs, how many are unknown,
    the nearest users, the factor and the genre. nearest int32 (1, n): the playlists nearest to the factor, -1 padded.
    owned: playlists of each user, indptr and rows. most, share: candidates of all neighbours, and of one at first.
    labels: by LIVE, POPULAR and POPULAR_IN_GENRE the sources' numbers in the proto and the kinds of a reason that
    shares nothing, int8; then the bits of the pairing, of what is near, and of what is popular. examples: of a reason.
    The other groups are those of the kernels for many users.

    Returns the bytes and writes lists: rows, scores (1, limit), counts and sources (1,) as ListColumns, but the source
    by its number; found_by uint8 (1, limit); folded uint64 (1,), the hash of the candidates.
    """
    hashes, hash_rows, id_offsets, ids = index
    songs, unknown, near, factor, genre = taste
    numbers, unshared, pairing, close, popular = labels
    rows, scores, counts, sources, found_by, folded = lists
    hashed, ends = np.empty(1, np.uint64), np.empty(2, np.int64)
    hashed[0], ends[0], ends[1] = wanted, 0, key.size
    users, own = np.empty(1, np.int32), np.zeros(1, np.int32)
    match_keys(hashed, ends, key, hashes, hash_rows, id_offsets, ids, users)
    bounds = np.zeros(2, np.int64)
    bounds[1] = near.size
    refused = Ragged(catalogue[13], catalogue[14])
    given = ListRules(rules[0], rules[1], rules[2], rules[3], rules[4], rules[5], rules[6], rules[7])
    gathered = gather_owned(Ragged(bounds, near), Ragged(owned[0], owned[1]), refused, users, given, most, share)
    width = gathered.shape[1] + nearest.shape[1]
    joined, bits, sizes = np.empty((1, width), np.int32), np.empty((1, width), np.uint8), np.empty(1, np.int64)
    join(gathered, pairing, nearest, close, joined, bits, sizes)
    bounds[1] = sizes[0]
    candidates, marks = joined[0, : sizes[0]], bits[0, : sizes[0]]
    folded[0] = fold(candidates)
    rows[:], scores[:] = -1, 0.0
    asked = (
        users, factor, own, bounds, candidates, np.empty(0, np.float32), own, genre, np.empty((0, 0), np.float32),
    )  # fmt: skip
    rank_columns(asked, catalogue, rules, (rows, scores, counts, sources))
    mark(bounds, candidates, marks, own, sources, rows, counts, pairing, popular, found_by)
    shared, kinds = np.zeros(rows.shape, np.int32), np.zeros(rows.shape, np.int8)
    shown = np.full((1, rows.shape[1], examples), -1, np.int32)
    if explained:
        said, all_songs = np.empty(1, np.int8), np.zeros(2, np.int64)
        said[0], all_songs[1] = unshared[sources[0]], songs.size
        unexplained = rows, counts, said, own, all_songs, songs
        if share_columns(unexplained, libraries, np.zeros(rows.shape, np.uint8), shared, kinds, shown) > 0:
            tie_columns(unexplained, False, ties, shared, kinds, shown)
    sources[0] = numbers[sources[0]]
    steps, missing = np.zeros(1, np.int8), np.empty(1, np.int32)
    missing[0] = unknown
    sent = ends, key, drawn, rows, scores, scores.view(np.uint32), counts, sources, steps, missing, found_by
    return encode_columns(sent, explained, shared, kinds, shown, fixed)
