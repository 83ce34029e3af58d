"""Nearest users of a taste given at run time: exact; beyond a bound of work proposed by FAISS, and ranked exactly."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages.blocks import spans
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.neighbours.exact.count import ExactCount
from spotify_buddies.pairing.neighbours.index_files import HEAD, MATRIX, PLACE, POSTINGS, SCHEMA, VECTORS, open_files
from spotify_buddies.pairing.neighbours.kernels import compact, rerank_rows
from spotify_buddies.pairing.neighbours.reduce import Projection, fit_projection
from spotify_buddies.pairing.settings import PairingSettings

Array = npt.NDArray[Any]

_BLOCK = 16_384
_RECALL_AT, _RECALL_TASTES = 50, 200


@dataclass(frozen=True)
class NeighbourSearch:
    """Answers tastes from an index folder; safe to share between threads.

    index: FAISS vectors of the users. postings (songs x users): who has each song. breadth: users that FAISS proposes.
    exact_work: most entries of the song lists that are walked for an exact answer.
    """

    user_songs: Csr
    postings: Csr
    projection: Projection
    index: Any
    breadth: int
    exact_work: int
    _exact: ExactCount

    @classmethod
    def open(cls, directory: Path, user_songs: Csr) -> Self:
        """Open what build_index wrote for these users, memory-mapped.

        SearchError: it is for others, not an index, or holds a number that would lead out of an array.
        """
        files = open_files(directory, user_songs)
        exact = ExactCount.of(user_songs, files.postings)
        return cls(user_songs, files.postings, files.projection, files.index, files.breadth, files.exact_work, exact)

    def search(self, tastes: Csr, k: int) -> Csr:
        """The k users nearest to each taste, shape (tastes, users), float32 cosines, most similar first.

        A taste is a set of song rows in any order. Ties go to the lower row. Fewer than k, or none, where fewer users
        share a song: an empty taste, or one of songs that nobody has, gets none. A taste whose songs have at most
        exact_work entries in the song lists is answered exactly; of a larger one the `breadth` users that FAISS
        proposes are ranked by their exact cosine. ValueError when tastes are over another number of songs.
        """
        if tastes.columns != self.user_songs.columns:
            raise ValueError(f"tastes over {tastes.columns} songs, the index has {self.user_songs.columns}")
        # A song that is named twice must not count twice, in the cosine or in the work.
        asked = _sets(tastes)
        width = max(0, min(k, self.user_songs.rows))
        indices = np.zeros((asked.rows, width), np.int32)
        values = np.zeros((asked.rows, width), np.float32)
        counts = np.zeros(asked.rows, np.int64)
        starts = self.postings.indptr
        work = _row_sums(starts[asked.indices + 1] - starts[asked.indices], asked.indptr)
        # Both ways write into their rows of the same arrays, so that the answer keeps the order of the tastes.
        if width:
            out = (counts, indices, values)
            few = np.flatnonzero((work > 0) & (work <= self.exact_work))
            self._exact.nearest(asked, few, work[few], width, out)
            self._propose(asked, np.flatnonzero(work > self.exact_work), width, out)
        indptr = np.zeros(asked.rows + 1, np.int64)
        np.cumsum(counts, out=indptr[1:])
        flat, cosines = indices.reshape(-1), values.reshape(-1)
        filled = compact(counts, width, flat, cosines)
        return Csr(indptr, flat[:filled], self.user_songs.rows, cosines[:filled])

    def warm_up(self) -> None:
        """Compile what searches, whatever the songs of these users are."""
        self._exact.warm_up()
        self.search(Csr(np.zeros(2, np.int64), np.empty(0, np.int32), self.user_songs.columns), 1)

    def work(self, tastes: Csr) -> int:
        """Entries of song lists that an answer walks at most, over all tastes: what its time grows with."""
        starts = self.postings.indptr
        walked: int = int((starts[tastes.indices + 1] - starts[tastes.indices]).sum())
        return walked

    def _propose(self, asked: Csr, rows: Array, width: int, out: tuple[Array, Array, Array]) -> None:
        if rows.size == 0:
            return
        # Copies: fancy indexing gives no view, and the kernel writes rows 0.. of what it gets.
        part = tuple(array[rows] for array in out)
        vectors = self.projection(asked.take(rows))
        # Never fewer than are asked for, or the re-rank could not fill the answer.
        breadth = min(max(self.breadth, width), self.user_songs.rows)
        proposed = _nearest_vectors(self.index, vectors, breadth)
        users = self.user_songs
        rerank_rows(rows, asked.indptr, asked.indices, users.indptr, users.indices, proposed, width, *part)
        for whole, piece in zip(out, part, strict=True):
            whole[rows] = piece


def _nearest_vectors(index: Any, vectors: Array, breadth: int) -> Array:
    """User rows by inner product, int64 (vectors, breadth). One vector is searched on one thread.

    Threads that share a vector wait for each other longer than it takes, once anything else runs beside.
    """
    most = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(min(most, len(vectors)))  # of the calling thread alone
    try:
        _, proposed = index.search(vectors, breadth)
    finally:
        faiss.omp_set_num_threads(most)
    rows: Array = proposed
    return rows


def build_index(
    user_songs: Csr,
    directory: Path,
    settings: PairingSettings,
    *,
    sampled: Array | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the index of these users into a folder and return its statistics.

    sampled bool (users,): the others are in no answer; None: all may be. The index is opened with the same user_songs.

    The vectors are the users' song sets projected by fit_projection, eight bits a dimension, searched by inner product
    without a tree or clusters, so that nothing is trained at run time and no user is out of reach. recall@50 is
    measured on halves of the sets of some users against the exact answer: of FAISS alone, and of the whole search.
    """
    if not _ascending(user_songs):
        raise ValueError("the songs of every user must be ascending and distinct")
    rows = np.arange(user_songs.rows) if sampled is None else np.flatnonzero(sampled)
    listed = user_songs if sampled is None else user_songs.only(sampled)
    projection = fit_projection(listed, settings, progress)
    index = _vectors(user_songs, rows, projection, progress)
    faiss.write_index(index, str(directory / VECTORS))
    np.save(directory / MATRIX, projection.matrix)
    np.save(directory / PLACE, projection.place)
    listed.transpose().save(directory, POSTINGS)
    head = {
        "schema": SCHEMA,
        "users": user_songs.rows,
        "songs": user_songs.columns,
        "entries": user_songs.nnz,
        "breadth": settings.search_breadth,
        "exact_work": settings.exact_work,
    }
    (directory / HEAD).write_text(json.dumps(head, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in directory.iterdir())
    recalls = _recalls(NeighbourSearch.open(directory, user_songs), rows, settings.seed)
    return {
        "users": int(rows.size),
        "dimension": int(projection.matrix.shape[1]),
        "placed_songs": int(projection.matrix.shape[0]),
        "bytes": size,
        "bytes_per_user": round(size / max(rows.size, 1), 1),
        **recalls,
    }


def _vectors(user_songs: Csr, rows: Array, projection: Projection, progress: Progress) -> Any:
    """The vectors of these users (ascending), under their row numbers."""
    width = projection.matrix.shape[1]
    index = faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    # The quantizer learns a range for each dimension; 65,536 users, evenly spread, give it.
    some = rows[np.unique(np.linspace(0, max(rows.size - 1, 0), 65_536).astype(np.int64))[: rows.size]]
    if rows.size:
        index.train(projection(user_songs.take(some)))
    # Numbers of their own take eight bytes a user, and are needed only where some users are left out.
    numbered = index if rows.size == user_songs.rows else faiss.IndexIDMap(index)
    for start, end in spans(rows.size, _BLOCK):
        vectors = projection(user_songs.take(rows[start:end]))
        if numbered is index:
            index.add(vectors)
        else:
            numbered.add_with_ids(vectors, rows[start:end])
        progress("index users", end, rows.size, "users")
    return numbered


def _recalls(search: NeighbourSearch, rows: Array, seed: int) -> dict[str, Any]:
    """recall@50 of FAISS alone and of the whole search on held-out halves; null without a user of two songs."""
    rng = generator(seed, "pairing/recall")
    users = search.user_songs
    # Half of a set of one song is empty, and has no neighbours to miss.
    able = rows[users.counts[rows] >= 2]
    picked = np.sort(rng.choice(able, min(able.size, _RECALL_TASTES), replace=False))
    halves = [rng.choice(users.row(u), users.row(u).size // 2, replace=False) for u in picked.tolist()]
    tastes = Csr.from_rows(halves, users.columns)
    truth = replace(search, exact_work=np.iinfo(np.int64).max).search(tastes, _RECALL_AT)
    faiss_alone = replace(search, exact_work=0).search(tastes, _RECALL_AT)
    return {
        "recall_at_50_faiss": recall(faiss_alone, truth),
        "recall_at_50": recall(search.search(tastes, _RECALL_AT), truth),
    }


def recall(answer: Csr, truth: Csr) -> float | None:
    """Mean share of the exact answer that was found, rows without one left out; users of equal cosine count alike."""
    shares = []
    for row in range(truth.rows):
        exact, answered = (_cosines(part, row) for part in (truth, answer))
        if exact.size:
            # By cosine, not by row: of users who are equally near at the end either set is right.
            shares.append(min(exact.size, int((answered >= exact[-1]).sum())) / exact.size)
    return round(float(np.mean(shares)), 4) if shares else None


def _cosines(answer: Csr, row: int) -> Array:
    values: Array = np.empty(0, np.float32) if answer.values is None else answer.values
    return values[answer.indptr[row] : answer.indptr[row + 1]]


def _ascending(matrix: Csr) -> bool:
    rises = np.diff(matrix.indices) > 0
    starts = matrix.indptr[1:-1]
    # The first entry of a row need not rise over the last of the row before.
    rises[starts[(starts > 0) & (starts < matrix.nnz)] - 1] = True
    return bool(rises.all())


def _sets(tastes: Csr) -> Csr:
    """The rows as ascending sets: an entry given twice counts once."""
    row_of = np.repeat(np.arange(tastes.rows, dtype=np.int64), tastes.counts)
    # Row and song in one integer: one sort finds duplicates and orders the songs of every row. np.unique would hash.
    entries = np.sort(row_of * max(tastes.columns, 1) + tastes.indices)
    first = np.ones(entries.size, bool)
    np.not_equal(entries[1:], entries[:-1], out=first[1:])
    entries = entries[first]
    indptr = np.zeros(tastes.rows + 1, np.int64)
    np.cumsum(np.bincount(entries // max(tastes.columns, 1), minlength=tastes.rows), out=indptr[1:])
    return Csr(indptr, (entries % max(tastes.columns, 1)).astype(np.int32), tastes.columns)


def _row_sums(values: Array, indptr: Array) -> Array:
    running = np.zeros(values.size + 1, np.int64)
    np.cumsum(values, out=running[1:])
    sums: Array = np.diff(running[indptr])
    return sums
