"""Pairing: its three stages, and the exact nearest users beside other ways to the same answer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import THREADS, processors
from spotify_buddies.foundation.stages.progress import Reporter
from spotify_buddies.foundation.stages.stage import TIMINGS
from spotify_buddies.pairing.build import build_pairing
from spotify_buddies.pairing.neighbours.nearest import find_nearest, share_songs
from spotify_buddies.pairing.result import CANDIDATES, INDEX, NEAREST
from spotify_buddies.trainer.bench.figure import OURS, Figure, timed
from spotify_buddies.trainer.bench.plan import Bench
from spotify_buddies.trainer.dataset.table import MATRIX

Array = npt.NDArray[Any]

_WORK = "exact nearest 100"
_PRODUCT_ROWS = 16_384


def stages(bench: Bench) -> list[Figure]:
    """Run the pairing; each stage's figures are those that it notes."""
    build_pairing(bench.dataset, bench.paired, bench.pairing, progress=Reporter())
    timings = json.loads((bench.paired / TIMINGS).read_bytes())
    return [
        Figure(
            work=f"pairing: {name}",
            by=OURS,
            amount=bench.size.users,
            unit="users",
            seconds=timings[name]["seconds"],
            cpu_seconds=timings[name].get("cpu_seconds"),
            peak_rss_mib=timings[name].get("peak_rss_mib", timings[name].get("process_peak_rss_mib", 0.0)),
        )
        for name in (NEAREST, CANDIDATES, INDEX)
    ]


def ours(bench: Bench) -> list[Figure]:
    """The nearest users of the same users as the sparse product's, on every core."""
    user_songs = _users(bench)
    rows = _some(bench, user_songs)
    width, block = bench.pairing.nearest, bench.pairing.block_users
    # Laid out before, as the peer's transposed matrix is.
    with share_songs(user_songs, THREADS) as shared:

        def run(chosen: Array) -> Csr:
            return find_nearest(shared, user_songs.rows, width, block_users=block, rows=chosen)

        run(rows[:1])
        return [timed(_WORK, OURS, rows.size, "users", lambda: run(rows))]


def by_scikit_learn(bench: Bench) -> list[Figure]:
    """One row against all users at a time, a partial sort of its cosines: the loop of the first system."""
    from sklearn.metrics.pairwise import cosine_similarity

    matrix = sp.csr_matrix(_users(bench).to_scipy())
    rows = np.unique(np.linspace(0, matrix.shape[0] - 1, bench.row_loop_users).astype(np.int64))
    width = min(bench.pairing.nearest, matrix.shape[0] - 1)

    answers: list[Array] = []

    def run() -> None:
        answers.clear()
        for row in rows.tolist():
            cosines = cosine_similarity(matrix[row], matrix).ravel()
            cosines[row] = -1.0
            best = np.argpartition(-cosines, width - 1)[:width]
            answers.append(best[np.argsort(-cosines[best])])

    return [timed(_WORK, "scikit-learn rows", rows.size, "users", run)]


def by_sparse_dot_topn(bench: Bench) -> list[Figure]:
    """The rows at length 1 times their transpose, of which the best 101 a row are kept: the user is among them."""
    from sparse_dot_topn import sp_matmul_topn

    user_songs = _users(bench)
    rows = _some(bench, user_songs)
    matrix = sp.csr_matrix(user_songs.to_scipy())
    matrix.data = np.repeat(1.0 / np.sqrt(np.maximum(user_songs.counts, 1)), user_songs.counts).astype(np.float32)
    asked, across = matrix[rows], matrix.T.tocsr()
    width, threads = bench.pairing.nearest + 1, processors()
    sums: list[float] = []

    def run() -> None:
        total = 0.0
        for first in range(0, rows.size, _PRODUCT_ROWS):
            product = sp_matmul_topn(
                asked[first : first + _PRODUCT_ROWS], across, top_n=width, n_threads=threads, sort=True
            )
            total += float(product.data.sum(dtype=np.float64))
        sums.append(total)

    figure = timed(_WORK, "sparse_dot_topn", rows.size, "users", run)
    return [figure.with_facts(share_of_our_cosines=round(_share(bench, rows, sums[-1]), 5))]


def _share(bench: Bench, rows: Array, total: float) -> float:
    """The peer's sum of cosines, without the user's own (1 each), as a share of ours: 1 where both agree."""
    nearest = Csr.load(bench.paired / NEAREST, "nearest")
    values = np.asarray(nearest.values)
    exact = sum(float(values[nearest.indptr[row] : nearest.indptr[row + 1]].sum(dtype=np.float64)) for row in rows)
    return (total - rows.size) / exact if exact else 1.0


def _users(bench: Bench) -> Csr:
    return Csr.load(bench.dataset / MATRIX, "user_songs")


def _some(bench: Bench, user_songs: Csr) -> Array:
    """All users, or as many as the bound allows, evenly over the rows."""
    count = min(bench.product_users, user_songs.rows)
    return np.unique(np.linspace(0, max(user_songs.rows - 1, 0), count).astype(np.int64))
