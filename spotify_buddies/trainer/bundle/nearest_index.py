"""A FAISS index of playlist factors, for catalogues in which looking at every playlist would take too long.

Inverted lists of half-precision factors. How many lists a search looks into is chosen when the index is built: as few
as give RECALL of the exact answer. FAISS is imported where it is used: most bundles have no such index.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.bundle.manifest import BundleError

Array = npt.NDArray[Any]

PLAYLIST_INDEX = "playlists.faiss"
RECALL, AT = 0.95, 75
QUERIES = 256
# Factors that the lists are found from, at most, for each list; FAISS asks for 39 at least.
_FACTORS_A_LIST = 64


@dataclass(frozen=True)
class NearestIndex:
    """Answers from a FAISS index; safe to share between threads. index: an IndexIVF over factors of `dimension`."""

    index: Any
    size: int
    dimension: int

    def search(self, vectors: Array, k: int) -> Array:
        """Places of the k factors with the largest inner products, int32 (n, k), best first, -1 padded.

        vectors float32 (n, dimension). On one thread: callers have threads of their own.
        """
        import faiss

        most = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # of the calling thread alone
        try:
            _, found = self.index.search(np.ascontiguousarray(vectors, np.float32), k)
        finally:
            faiss.omp_set_num_threads(most)
        places: Array = found.astype(np.int32)
        return places

    def save(self, directory: Path) -> None:
        """Write PLAYLIST_INDEX."""
        import faiss

        faiss.write_index(self.index, str(directory / PLAYLIST_INDEX))

    @classmethod
    def open(cls, directory: Path, size: int, dimension: int) -> NearestIndex | None:
        """Map what save wrote for so many factors; None where there is no file. BundleError: it is another."""
        path = directory / PLAYLIST_INDEX
        if not path.exists():
            return None
        import faiss

        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
        except RuntimeError as error:
            raise BundleError(f"{path}: not a FAISS index; write the bundle again") from error
        if (index.ntotal, index.d) != (size, dimension):
            raise BundleError(
                f"{path}: {index.ntotal} factors of {index.d} numbers, need {size} of {dimension}; "
                "write the bundle again"
            )
        return cls(index, size, dimension)


def used_dimensions(scale: Array) -> Array:
    """The dimensions that a retrieval scale does not leave out, int64, ascending."""
    return np.flatnonzero(scale)


def build_nearest(factors: Array, queries: Array, seed: int = 0) -> NearestIndex:
    """Index factors float32 (rows, e). queries float32 (n, e): what is asked, to choose how many lists to look into.

    The same input gives the same index: the lists are found on one thread.
    """
    import faiss

    size, dimension = factors.shape
    lists = max(1, min(int(4 * np.sqrt(size)), size // 39))
    coarse = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFScalarQuantizer(
        coarse, dimension, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed, index.cp.max_points_per_centroid = seed + 1, _FACTORS_A_LIST
    most = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        index.train(factors)
        index.add(factors)
    finally:
        faiss.omp_set_num_threads(most)
    built = NearestIndex(index, size, dimension)
    _look_far_enough(built, factors, queries[:: max(1, -(-len(queries) // QUERIES))], lists)
    return built


def _look_far_enough(built: NearestIndex, factors: Array, queries: Array, lists: int) -> None:
    """Set how many lists are looked into: doubled until RECALL of the AT nearest is found."""
    at = min(AT, built.size)
    exact = np.argsort(-(queries @ factors.T), axis=1, kind="stable")[:, :at]
    built.index.nprobe = 1
    while built.index.nprobe < lists and _recall(built.search(queries, at), exact) < RECALL:
        built.index.nprobe = min(2 * built.index.nprobe, lists)


def _recall(found: Array, exact: Array) -> float:
    shares = [np.isin(exact[i], found[i]).mean() for i in range(len(exact))]
    return float(np.mean(shares)) if shares else 1.0
