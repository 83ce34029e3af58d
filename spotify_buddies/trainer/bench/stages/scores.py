"""Overlap, score and the best 1.5 %, beside sparse products."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import THREADS
from spotify_buddies.foundation.stages.progress import silent
from spotify_buddies.trainer.bench.figure import OURS, Figure, timed
from spotify_buddies.trainer.bench.plan import Bench
from spotify_buddies.trainer.dataset.scoring import Scoring, load_tastes, score_block
from spotify_buddies.trainer.dataset.table import LIKED, MATRIX, SCORE, SONGS

Array = npt.NDArray[Any]

_WORK = "overlap, score, best 1.5 %"


def ours(bench: Bench) -> list[Figure]:
    """The kernel of part 4 on the first users, in blocks on every core."""
    beta = np.load(bench.dataset / SCORE / "beta.npy")
    tastes = load_tastes(bench.dataset / MATRIX, bench.dataset / SONGS, beta)

    def run(users: int) -> None:
        with THREADS.share(Scoring(tastes, bench.data.liked_share)) as shared:
            for _ in shared.over(score_block, users, bench.data.block_users, "scores", silent):
                pass

    run(1)
    users = min(50 * bench.scored_users, beta.size)
    return [timed(_WORK, OURS, users, "users", lambda: run(users))]


def by_scipy(bench: Bench) -> list[Figure]:
    """A product of sparse matrices for the first users, the formula on its entries, the best of each row."""
    users = Csr.load(bench.dataset / MATRIX, "user_songs")
    playlists = Csr.load(bench.dataset / MATRIX, "playlist_songs")
    beta = np.load(bench.dataset / SCORE / "beta.npy")
    count = min(bench.scored_users, users.rows)
    some = Csr(users.indptr[: count + 1], users.indices[: users.indptr[count]], users.columns).to_scipy()
    by_song = playlists.transpose().to_scipy()
    roots = np.sqrt(users.counts[:count]), np.sqrt(playlists.counts)
    sums: list[float] = []

    def run() -> None:
        overlap = (some @ by_song).tocsr()
        row_of = np.repeat(np.arange(count), np.diff(overlap.indptr))
        e = beta[row_of]
        scores = ((1.0 - e) * np.log1p(overlap.data) + e) / (roots[0][row_of] * roots[1][overlap.indices])
        total = 0.0
        for row in range(count):
            part = scores[overlap.indptr[row] : overlap.indptr[row + 1]]
            kept = int(np.ceil(bench.data.liked_share * part.size - 1e-9))
            best = np.argpartition(-part, kept - 1)[:kept] if kept else np.empty(0, np.int64)
            total += float(part[best].sum())
        sums.append(total)

    figure = timed(_WORK, "scipy product", count, "users", run)
    liked = Csr.load(bench.dataset / LIKED, "liked")
    ours = float(np.asarray(liked.values)[: liked.indptr[count]].sum(dtype=np.float64))
    return [figure.with_facts(share_of_our_scores=round(sums[-1] / ours, 5) if ours else 1.0)]
