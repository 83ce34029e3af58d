"""The exact nearest users of tastes, by counting: safe to share between threads."""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.exact.kernels import LANES, SPAN, nearest_by_groups
from spotify_buddies.pairing.neighbours.kernels import nearest_rows
from spotify_buddies.pairing.neighbours.nearest import narrow_sizes

Array = npt.NDArray[Any]

# Where the songs of a taste have fewer listeners than one in so many users, listing the users met costs less than
# reading the counters of all users.
_FEW = 16


@dataclass(frozen=True)
class ExactCount:
    """Counts the songs that users share with tastes.

    user_starts int64 (users + 1,): the users' song sets. sizes (users,): their lengths, uint16, or int32 where a user
    has more songs than two bytes count. postings (songs x users): who has each song. inverses float32: 1 / songs of
    every user, 0 for users without any and up to whole spans of users.
    """

    user_starts: Array
    sizes: Array
    postings: Csr
    inverses: Array
    _spare: SimpleQueue[tuple[Array, Array, Array]]

    @classmethod
    def of(cls, user_songs: Csr, postings: Csr) -> Self:
        """Lay out what a search needs beside the song lists: 6 bytes a user. postings (songs x users)."""
        sizes = user_songs.counts
        inverses = np.zeros(-(-sizes.size // SPAN) * SPAN, np.float32)
        np.divide(1.0, sizes, out=inverses[: sizes.size], where=sizes > 0, casting="same_kind")
        return cls(user_songs.indptr, narrow_sizes(user_songs), postings, inverses, SimpleQueue())

    def nearest(self, asked: Csr, rows: Array, work: Array, k: int, out: tuple[Array, Array, Array]) -> None:
        """The k nearest users of some rows of `asked`, which are sets of songs.

        work int64 (rows,): how many listeners the songs of each have together. out: how many were found int64
        (asked.rows,), who they are int32 and their cosines float32 (asked.rows, k each); only these rows are written.
        """
        light = work * _FEW < self.user_starts.size
        for chosen, by_groups in ((rows[light], False), (rows[~light], True)):
            if chosen.size == 0:
                continue
            # Copies: fancy indexing gives no view, and kernels write rows 0.. of what they get.
            part = tuple(array[chosen] for array in out)
            self._run(asked, chosen, k, part, by_groups=by_groups)
            for whole, piece in zip(out, part, strict=True):
                whole[chosen] = piece

    def warm_up(self) -> None:
        """Compile both ways of counting, with a set without songs."""
        asked = Csr(np.zeros(2, np.int64), np.empty(0, np.int32), self.postings.rows)
        for by_groups in (False, True):
            out = np.zeros(1, np.int64), np.zeros((1, 1), np.int32), np.zeros((1, 1), np.float32)
            self._run(asked, np.zeros(1, np.int64), 1, out, by_groups=by_groups)

    def _run(self, asked: Csr, rows: Array, k: int, out: tuple[Array, ...], *, by_groups: bool) -> None:
        try:
            # All zero between calls: new ones, of 2 bytes or more a user, could cost more than a small answer.
            counts, tops, met = self._spare.get_nowait()
        except Empty:
            counts = np.zeros(self.inverses.size, self.sizes.dtype)
            tops = np.zeros(self.inverses.size // SPAN * LANES, np.float32)
            met = np.empty(self.user_starts.size, np.uint32)
        sets, lists = (asked.indptr, asked.indices), (self.postings.indptr, self.postings.indices)
        if by_groups:
            nearest_by_groups(rows, *sets, self.user_starts, self.inverses, *lists, k, counts, tops, *out)
        else:
            nearest_rows(rows, *sets, *lists, k, counts, self.sizes, met, *out)
        self._spare.put((counts, tops, met))
