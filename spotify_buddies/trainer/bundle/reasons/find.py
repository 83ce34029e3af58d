"""The reasons of all candidates of a bundle, on all processors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import cut, over_blocks, processors, read_only
from spotify_buddies.foundation.stages.progress import silent
from spotify_buddies.trainer.bundle.bundle import Bundle
from spotify_buddies.trainer.bundle.reasons.kernels import find_codes

Array = npt.NDArray[Any]

# Users of a block: the marks of songs and playlists are emptied for each of them.
_BLOCK = 4_096


def find_reasons(bundle: Bundle) -> Array:
    """A byte of codes.py for each of the candidates, uint8 (nnz,), in their order.

    As serving finds them for users of the bundle, from what it holds: what it lacks is nobody's reason. The bundle has
    been checked, since nothing here is. The same on any number of threads.
    """
    users, codes = bundle.manifest.users, np.empty(bundle.candidates.nnz, np.uint8)
    candidates, user_songs, playlist_songs, co_followers, followed = map(
        _rows, (bundle.candidates, bundle.user_songs, bundle.playlist_songs, bundle.co_followers, bundle.followed)
    )
    owner = read_only(bundle.owner)
    artist = read_only(np.empty(0, np.int32) if bundle.artist_rows is None else bundle.artist_rows)

    def work(first: int, last: int) -> None:
        find_codes(
            first, last, bundle.manifest.playlists, candidates, owner, user_songs, playlist_songs, artist,
            co_followers, followed, bundle.manifest.songs, codes,
        )  # fmt: skip

    for _ in over_blocks(users, cut(users, _BLOCK, processors()), "reasons", silent, work):
        pass
    return codes


def _rows(matrix: Csr | None) -> tuple[Array, Array]:
    """Its places and entries; both empty where there is none."""
    if matrix is None:
        return read_only(np.empty(0, np.int64)), read_only(np.empty(0, np.int32))
    return read_only(matrix.indptr), read_only(matrix.indices)
