"""Parts 4 and 5: the score of every user and playlist that share a song, and the best of them as likes.

Both parts come out of one pass, because the scores are never stored: part 4 writes the likes beside its own arrays and
part 5 takes them over. A playlist that names a user as its owner is not scored for that user, who would otherwise like
little else than the own playlists, which are never recommended to their owner.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pairing.blocks import over_blocks, processors
from pairing.csr import Csr
from pairing.progress import Progress
from pairing.seeds import generator
from trainer.dataset.arrays import Growing
from trainer.dataset.kernels import OVERLAP_BINS, SCORE_BINS, Space, Tastes, best_of_block, unpack_all
from trainer.dataset.quantiles import describe, describe_bins, describe_counts
from trainer.settings import DataSettings

Array = npt.NDArray[Any]
Result = TypeVar("Result")


def load_tastes(matrix: Path, songs: Path, beta: Array) -> Tastes:
    """What the scoring kernels read, from part 2's and part 3's directories and e of each user."""
    user_songs, playlist_songs = Csr.load(matrix, "user_songs"), Csr.load(matrix, "playlist_songs")
    by_song = playlist_songs.transpose()
    longest = int(playlist_songs.counts.max(initial=0))
    return Tastes(
        user_ptr=np.asarray(user_songs.indptr),
        user_songs=np.asarray(user_songs.indices),
        song_ptr=by_song.indptr,
        song_playlists=by_song.indices,
        root_songs=np.sqrt(user_songs.counts),
        tracks=playlist_songs.counts.astype(np.uint16 if longest < 2**16 else np.int32),
        roots=np.sqrt(np.arange(longest + 1)),
        beta=beta,
        logs=np.log(1.0 + np.arange(int(user_songs.counts.max(initial=0)) + 1)),
        named_owner=np.load(songs / "named_owner.npy"),
    )


class Spaces:
    """Working memories that threads borrow."""

    def __init__(self, playlists: int) -> None:
        self._free: SimpleQueue[Space] = SimpleQueue()
        for _ in range(processors()):
            self._free.put(
                Space(np.zeros(playlists, np.int32), np.empty(playlists, np.int32), np.empty(playlists, np.uint64))
            )

    def lend(self, work: Callable[[Space], Result]) -> Result:
        """Call work with a memory that nobody else uses meanwhile."""
        space = self._free.get()
        try:
            return work(space)
        finally:
            self._free.put(space)


def score_users(
    directory: Path, matrix: Path, songs: Path, settings: DataSettings, progress: Progress
) -> dict[str, Any]:
    """Write beta.npy float64 (U), scored.npy int64 (U) and CSR liked (U, P) with scores; the statistics of part 4."""
    users = Csr.load(matrix, "user_songs").rows
    playlists = Csr.load(matrix, "playlist_songs").rows
    # One draw per user in the order of rows: a user keeps the e when others are added behind.
    beta = generator(settings.seed, "beta").beta(settings.beta_a, settings.beta_b, users)
    tastes = load_tastes(matrix, songs, beta)
    spaces = Spaces(playlists)

    def block(first: int, last: int) -> tuple[Array, ...]:
        scored, totals = np.zeros(last - first, np.int64), np.zeros((last - first, 3))
        tallies = np.zeros(SCORE_BINS + OVERLAP_BINS, np.int64)
        liked, keys = spaces.lend(
            lambda space: best_of_block(tastes, first, last, settings.liked_share, space, scored, totals, tallies)
        )
        return scored, totals, tallies, liked, *unpack_all(keys)

    scored, totals, liked = np.zeros(users, np.int64), np.zeros((users, 3)), np.zeros(users, np.int64)
    tallies = np.zeros(SCORE_BINS + OVERLAP_BINS, np.int64)
    at = 0
    with (
        Growing(directory / "liked.indices.npy", np.int32) as indices,
        Growing(directory / "liked.values.npy", np.float32) as values,
    ):
        for part in over_blocks(users, settings.block_users, "scores", progress, block):
            end = at + part[0].size
            scored[at:end], totals[at:end], liked[at:end] = part[0], part[1], part[3]
            tallies += part[2]
            indices.append(part[4])
            values.append(part[5])
            at = end
    np.save(directory / "liked.indptr.npy", np.concatenate([np.zeros(1, np.int64), np.cumsum(liked)]))
    np.save(directory / "liked.columns.npy", np.int64(playlists))
    np.save(directory / "beta.npy", beta)
    np.save(directory / "scored.npy", scored)
    return _statistics(beta, scored, totals, tallies)


def _statistics(beta: Array, scored: Array, totals: Array, tallies: Array) -> dict[str, Any]:
    pairs = int(scored.sum())
    some = totals[scored > 0]
    return {
        "pairs": pairs,
        "users_without_a_scored_playlist": int((scored == 0).sum()),
        "scored_playlists_per_user": describe(scored),
        "shared_songs_per_pair": describe_counts(tallies[SCORE_BINS:]),
        "beta": describe(beta),
        "score": describe_bins(
            tallies[:SCORE_BINS],
            1 / SCORE_BINS,
            least=float(some[:, 1].min(initial=np.inf)),
            most=float(some[:, 2].max(initial=0)),
            mean=math.fsum(some[:, 0]) / max(pairs, 1),
        ),
    }


def take_liked(directory: Path, scores: Path) -> dict[str, Any]:
    """Take the likes over from part 4's directory; the statistics of part 5."""
    for path in sorted(scores.glob("liked.*")):
        try:
            os.link(path, directory / path.name)
        except OSError:  # a file system without links
            shutil.copyfile(path, directory / path.name)
    liked = Csr.load(directory, "liked")
    likers = liked.column_counts()
    return {
        "liked": liked.nnz,
        "liked_per_user": describe(liked.counts[liked.counts > 0]),
        "users_who_like_something": int((liked.counts > 0).sum()),
        "playlists_liked": int((likers > 0).sum()),
        "users_per_liked_playlist": describe(likers[likers > 0]),
    }
