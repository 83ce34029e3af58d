"""Song factors: their sum gives a user whom the model has not seen a factor at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle.tensors import map_tensors

Array = npt.NDArray[Any]

# Songs whose vectors are summed at a time: their float32 copies stay in the cache.
_BLOCK = 8_192
_OPTIONAL = ("likes_scale", "tail")


@dataclass(frozen=True)
class SongFactors:
    """The hybrid model's songs (docs/adr/0005-hybrid-factors.md), artists included.

    taste float16 (songs, t), likes float16 (songs, d - t): the summands of a song in the two parts of a factor; zeros
    for a song that says nothing. weights float32 (songs,): squared, its summand in the length that the likes are
    divided by. taste_length float32 (1,): the length of the taste. likes_scale float32 (1,): what the likes are
    multiplied by; None: 1. tail float32 (e,): the last dimensions of every factor, such as the 1 of a blend's biases;
    None: there are none.
    """

    taste: Array
    likes: Array
    weights: Array
    taste_length: Array
    likes_scale: Array | None = None
    tail: Array | None = None

    @property
    def dimension(self) -> int:
        """Length of a factor."""
        return int(self.taste.shape[1] + self.likes.shape[1] + (0 if self.tail is None else self.tail.size))

    def __call__(self, songs: Csr) -> Array:
        """The factor of every row of songs, float32 (rows, d); zeros where no song of a row says anything."""
        out = np.zeros((songs.rows, self.dimension), np.float32)
        first = 0
        while first < songs.rows:
            last = int(np.searchsorted(songs.indptr, songs.indptr[first] + _BLOCK, side="right")) - 1
            last = max(first + 1, last)
            filled = first + np.flatnonzero(np.diff(songs.indptr[first : last + 1]))
            if filled.size:
                self._add(songs, filled, out)
            first = last
        return out

    def _add(self, songs: Csr, filled: Array, out: Array) -> None:
        split, end = self.taste.shape[1], self.taste.shape[1] + self.likes.shape[1]
        entries = songs.indices[songs.indptr[filled[0]] : songs.indptr[filled[-1] + 1]]
        # Rows without songs were left out: reduceat would give them the first entry of the next row.
        starts = songs.indptr[filled] - songs.indptr[filled[0]]
        taste = np.add.reduceat(self.taste[entries].astype(np.float32), starts)
        likes = np.add.reduceat(self.likes[entries].astype(np.float32), starts)
        scales = np.sqrt(np.add.reduceat(np.square(self.weights[entries], dtype=np.float64), starts))
        lengths = np.linalg.norm(taste, axis=1)
        out[filled, :split] = taste * _inverse(lengths, self.taste_length[0])[:, None]
        scale = 1.0 if self.likes_scale is None else float(self.likes_scale[0])
        out[filled, split:end] = likes * _inverse(scales, scale)[:, None]
        if self.tail is not None:
            # A set of songs that say nothing stays without a factor.
            out[filled, end:] = np.any(out[filled, :end], axis=1, keepdims=True) * np.asarray(self.tail)

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        from safetensors.numpy import save_file

        tensors = {
            "taste": np.ascontiguousarray(self.taste, np.float16),
            "likes": np.ascontiguousarray(self.likes, np.float16),
            "weights": np.ascontiguousarray(self.weights, np.float32),
            "taste_length": np.ascontiguousarray(self.taste_length, np.float32),
        }
        for name in _OPTIONAL:
            if (values := getattr(self, name)) is not None:
                tensors[name] = np.ascontiguousarray(values, np.float32)
        save_file(tensors, path)
        path.chmod(0o644)  # as factors.safetensors

    @classmethod
    def load(cls, path: Path) -> SongFactors | None:
        """Open memory-mapped; None where there is no file."""
        if not path.exists():
            return None
        tensors = map_tensors(path)
        optional = {name: tensors[name] for name in _OPTIONAL if name in tensors}
        return cls(tensors["taste"], tensors["likes"], tensors["weights"], tensors["taste_length"], **optional)


def _inverse(lengths: Array, of: float) -> Array:
    """`of` divided by each length, 0 for no length, float32."""
    quotients: Array = np.divide(of, lengths, out=np.zeros(lengths.size), where=lengths > 1e-9).astype(np.float32)
    return quotients
