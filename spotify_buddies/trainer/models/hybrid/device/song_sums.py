"""Sums over song sets and back on a device: `Feature` and `give_back`, whose sets and weights are there.

Every sum is a bag of rows (torch's embedding_bag), added up by one thread in the order of the set: no matrix of ones is
stored, nothing of the size of all songs of all sets is made, and the bytes are the same each time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import embedding_bag

from spotify_buddies.trainer.models.hybrid.songs import Feature
from spotify_buddies.trainer.models.hybrid.state import PLAYLISTS, USERS

Array = npt.NDArray[Any]

# A song may be in a million sets, and one thread adds a bag up: longer ones are added in pieces, then these.
LONGEST = 1_024


class Bags:
    """Row r sums the rows indices[indptr[r]:indptr[r + 1]] of a table. indptr int64 (rows + 1,), indices int32."""

    def __init__(self, indptr: Array, indices: Array, device: torch.device) -> None:
        # torch wants one type for both, and would convert the longer of the two in every sum.
        kind = np.int32 if indices.size < 1 << 31 else np.int64
        pieces = -(-np.diff(indptr) // LONGEST)
        self._pieces: torch.Tensor | None = None
        offsets = indptr
        if pieces.max(initial=0) > 1:
            first = np.concatenate([[0], np.cumsum(pieces)])
            within = np.arange(first[-1]) - np.repeat(first[:-1], pieces)
            # A row without a piece has no index either: a piece ends where the next one begins.
            offsets = np.append(np.repeat(indptr[:-1], pieces) + LONGEST * within, indices.size)
            self._pieces = to_device(first.astype(kind), device)
        self._offsets = to_device(offsets.astype(kind), device)
        self._indices = to_device(indices.astype(kind, copy=False), device)

    def sums(self, table: torch.Tensor) -> torch.Tensor:
        """The sums over a table (n, d), float32 (rows, d); zeros for an empty row."""
        found = _sums(self._indices, table, self._offsets)
        if self._pieces is None:
            return found
        places = torch.arange(len(found), dtype=self._pieces.dtype, device=found.device)
        return _sums(places, found, self._pieces)


class SongSums:
    """A Feature's song sets of users and playlists with its weights, on a device."""

    def __init__(self, rows: Feature, device: torch.device) -> None:
        sets, none = rows.sets, rows.artist_weights.size
        held = [(sets.parts[part], sets.postings[part]) for part in (USERS, PLAYLISTS)]
        self._sets = [Bags(part.indptr, part.indices, device) for part, _ in held]
        self._postings = [Bags(songs.indptr, songs.indices, device) for _, songs in held]
        self._scales = [_column(rows.scales[part], device) for part in (USERS, PLAYLISTS)]
        self.song_weights = _column(rows.song_weights, device)
        self._artist_weights = _column(rows.artist_weights, device)
        self._artist = to_device(np.where(sets.artist < 0, none, sets.artist).astype(np.int32), device)
        # The last group is that of the songs without an artist.
        ptr = rows.artist_ptr[:-1]
        self._by_artist = Bags(ptr, rows.artist_songs[: ptr[-1]], device)

    def vectors(self, songs: torch.Tensor, artists: torch.Tensor) -> torch.Tensor:
        """The vector that a song adds to a row, float32 (S, d), from song factors (S, d) and artist factors (A, d)."""
        out = self.song_weights * songs
        # One row of zeros more, for songs without an artist.
        weighed = torch.nn.functional.pad(self._artist_weights * artists, (0, 0, 0, 1))
        return out.add_(weighed.index_select(0, self._artist))

    def rows(self, part: int, vectors: torch.Tensor) -> torch.Tensor:
        """The sum of every row of a part, scaled: float32 (rows, d)."""
        return self._sets[part].sums(vectors).mul_(self._scales[part])

    def give_back(self, part: int, vectors: torch.Tensor) -> torch.Tensor:
        """The sum, for every song, of the scaled vectors (rows, d) of the sets of a part that hold it: (S, d)."""
        return self._postings[part].sums(self._scales[part] * vectors)

    def artist_gradient(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradients of artists from those of their songs (S, d), float32 (A, d)."""
        return self._by_artist.sums(gradient).mul_(self._artist_weights)


def to_device(array: Array, device: torch.device) -> torch.Tensor:
    """A copy of an array, which may be read-only."""
    return torch.tensor(array, device=device)


def _column(weights: Array, device: torch.device) -> torch.Tensor:
    return to_device(weights, device).unsqueeze(1)


def _sums(indices: torch.Tensor, table: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    return embedding_bag(indices, table, offsets, mode="sum", include_last_offset=True)
