"""Sketches of playlists, from which the share of songs that two have in common is estimated without the songs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import derive, generator
from spotify_buddies.foundation.arrays.streams import hash_rows
from spotify_buddies.foundation.stages.blocks import over_blocks
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.bundle import SKETCH_BYTES
from spotify_buddies.trainer.publish.kernels import min_hashes

Array = npt.NDArray[Any]

_BLOCK = 16_384
# The hashes are a property of the format, not of a training: sketches of the same songs are always the same.
_SEED = 0


def sketch(playlist_songs: Csr, progress: Progress = silent) -> Array:
    """The b-bit MinHash of every playlist, uint8 (playlists, SKETCH_BYTES): b = 8, one hash function a byte.

    Of two playlists with Jaccard similarity j a byte is equal with probability j + (1 - j) / 256 (Li and Koenig, WWW
    2010, for few songs of many), so that j is estimated by (equal - 1/256) / (1 - 1/256), with a standard deviation of
    at most 1/16. A playlist without songs has bytes of its own, drawn by its row: it is nobody's near copy, not even
    of another empty one. No playlists give (0, SKETCH_BYTES). Neither threads nor other playlists change a row.
    """
    salts = generator(_SEED, "sketches/salts").integers(0, 1 << 32, SKETCH_BYTES, dtype=np.uint32)
    hashes = (hash_rows(np.uint64(derive(_SEED, "sketches/songs")), playlist_songs.columns) >> np.uint64(32)).astype(
        np.uint32
    )
    out = np.empty((playlist_songs.rows, SKETCH_BYTES), np.uint8)
    empty = np.flatnonzero(playlist_songs.counts == 0)
    for row in empty.tolist():
        out[row] = np.frombuffer(generator(_SEED, f"sketches/empty/{row}").bytes(SKETCH_BYTES), np.uint8)
    indptr, songs = np.asarray(playlist_songs.indptr), np.asarray(playlist_songs.indices)

    def work(first: int, last: int) -> None:
        min_hashes(first, last, indptr, songs, hashes, salts, out)

    for _ in over_blocks(playlist_songs.rows, _BLOCK, "sketch playlists", progress, work, unit="playlists"):
        pass
    return out


def estimate(left: Array, right: Array) -> Array:
    """The estimated Jaccard similarity of sketches uint8 (..., SKETCH_BYTES), float64 (...,); below 0 becomes 0."""
    equal = (left == right).mean(axis=-1)
    jaccard: Array = np.maximum((equal - 1 / 256) / (1 - 1 / 256), 0.0)
    return jaccard
