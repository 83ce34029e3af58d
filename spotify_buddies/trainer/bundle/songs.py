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
        from spotify_buddies.trainer.bundle.kernels import sum_songs  # numba takes half a second to import

        out = np.zeros((songs.rows, self.dimension), np.float32)
        sum_songs(np.asarray(songs.indptr), np.asarray(songs.indices), *self.arrays, out)
        return out

    @property
    def arrays(self) -> tuple[Array, ...]:
        """As kernels.sum_songs takes them, between the songs and the factors."""
        scale = np.ones(1, np.float32) if self.likes_scale is None else np.asarray(self.likes_scale)
        return (
            np.asarray(self.taste).view(np.uint16),
            np.asarray(self.likes).view(np.uint16),
            np.asarray(self.weights),
            np.concatenate([np.asarray(self.taste_length), scale]),
            np.empty(0, np.float32) if self.tail is None else np.asarray(self.tail),
        )

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
