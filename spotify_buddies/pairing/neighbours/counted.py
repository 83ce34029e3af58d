"""Nearest users of small tastes, counted in the song lists of an index folder, without its vectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.index_files import open_postings
from spotify_buddies.pairing.neighbours.kernels import compact, nearest_rows
from spotify_buddies.pairing.neighbours.nearest import scratch_for

Array = npt.NDArray[Any]


class CountedSearch:
    """Answers tastes whose songs have at most `most` listeners in total as NeighbourSearch does; for any thread.

    most: as asked for, or less where the index itself counts less. arrays: where the users of each song start, and
    those users; mapped from the files, and the same pages as another process's.
    """

    def __init__(self, user_songs: Csr, postings: Csr, most: int) -> None:
        self.users, self.songs, self.most = user_songs.rows, user_songs.columns, most
        # Views: numba takes a tenth of a millisecond to find the type of a memory-mapped array, at every call.
        self.arrays = tuple(map(np.asarray, (postings.indptr, postings.indices)))
        self._user_songs = user_songs
        self._spare: SimpleQueue[tuple[Array, Array, Array]] = SimpleQueue()

    @classmethod
    def open(cls, directory: Path, user_songs: Csr, most: int) -> Self:
        """Open the song lists of an index folder of these users, memory-mapped. SearchError: they are of others."""
        postings, exact_work = open_postings(directory, user_songs)
        return cls(user_songs, postings, min(most, exact_work))

    @contextmanager
    def scratch(self) -> Iterator[tuple[Array, Array, Array]]:
        """What one call of `nearest_row` needs beside the lists; it is kept for the next one."""
        try:
            made = self._spare.get_nowait()
        except Empty:
            made = scratch_for(self._user_songs, self.most)
        yield made
        # Not where it failed: then the counters may not be zero.
        self._spare.put(made)

    def warm_up(self) -> None:
        """Compile what `search` runs, with a set without songs."""
        self.search(Csr(np.zeros(2, np.int64), np.empty(0, np.int32), self.songs), 1)

    def work(self, tastes: Csr) -> Array:
        """Listeners of the songs of each taste, int64 (tastes,): what the time of an answer grows with."""
        starts = self.arrays[0]
        running = np.zeros(tastes.nnz + 1, np.int64)
        np.cumsum(starts[tastes.indices + 1] - starts[tastes.indices], out=running[1:])
        sums: Array = np.diff(running[tastes.indptr])
        return sums

    def search(self, tastes: Csr, k: int) -> Csr:
        """The k users nearest to each taste, as NeighbourSearch.search. Songs of a taste: distinct.

        ValueError: a taste has more work than `most`, or is over another number of songs.
        """
        if tastes.columns != self.songs:
            raise ValueError(f"tastes over {tastes.columns} songs, the song lists have {self.songs}")
        if (work := int(self.work(tastes).max(initial=0))) > self.most:
            raise ValueError(f"a taste with {work:,} listeners of its songs, at most {self.most:,} are counted")
        width = max(0, min(k, self.users))
        indices, values = np.zeros((tastes.rows, width), np.int32), np.zeros((tastes.rows, width), np.float32)
        counts, indptr = np.zeros(tastes.rows, np.int64), np.zeros(tastes.rows + 1, np.int64)
        if width:
            with self.scratch() as scratch:
                nearest_rows(
                    np.arange(tastes.rows), tastes.indptr, tastes.indices, *self.arrays, width, *scratch,
                    counts, indices, values,
                )  # fmt: skip
        np.cumsum(counts, out=indptr[1:])
        flat, cosines = indices.reshape(-1), values.reshape(-1)
        filled = compact(counts, width, flat, cosines)
        return Csr(indptr, flat[:filled], self.users, cosines[:filled])
