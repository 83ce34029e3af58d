"""Blocks of drawn libraries and playlists, in row order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.seeds import derive, generator
from spotify_buddies.trainer.synth.catalogue import LISTENS, PLAYLISTS, Catalogue
from spotify_buddies.trainer.synth.kernels import draw_rows
from spotify_buddies.trainer.synth.quantiles import LIBRARY, PLAYLIST, Quantiles

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class RowKind:
    """How one kind of row is drawn: sizes, side, how many scenes a row mixes, rows per block."""

    name: str
    sizes: Quantiles
    side: int
    concentration: float
    block: int


LIBRARIES = RowKind("libraries", LIBRARY, LISTENS, 1.2, 4_096)
# 1,000 playlists are one slice file. A playlist keeps closer to one scene than a user does.
TRACKLISTS = RowKind("playlists", PLAYLIST, PLAYLISTS, 0.6, 1_000)


@dataclass(frozen=True)
class Block:
    """Rows first..first + rows - 1: row r holds songs[indptr[r]:indptr[r + 1]], distinct, in the order drawn."""

    first: int
    indptr: Array
    songs: Array

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.indptr.size - 1)


def draw_blocks(world: Catalogue, kind: RowKind, count: int, seed: int) -> Iterator[Block]:
    """Draw `count` rows block by block. No row takes more than a quarter of the songs."""
    rng = generator(seed, f"synth/{kind.name}/sizes")
    stamp = np.zeros(world.size, np.int64)
    for first in range(0, count, kind.block):
        sizes = kind.sizes.draw(min(kind.block, count - first), most=max(1, world.size // 4), rng=rng)
        indptr, songs = draw_rows(
            np.uint64(derive(seed, f"synth/{kind.name}/songs")),
            first,
            sizes,
            kind.side,
            kind.concentration,
            world.genres,
            world.scenes,
            world.genre_starts,
            world.songs,
            world.scene_starts,
            world.sides,
            world.artist_of,
            world.artist_starts,
            world.artist_songs,
            stamp,
        )
        yield Block(first, indptr, songs)
