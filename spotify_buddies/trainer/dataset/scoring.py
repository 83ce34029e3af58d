"""Parts 4 and 5: the score of every user and playlist that share a song, and the best of them as likes.

Where real follows are given, they are the likes, and the scores serve to find hard negatives alone.

Both parts come out of one pass, because the scores are never stored: part 4 writes the likes beside its own arrays and
part 5 takes them over. A playlist that names a user as its owner is not scored for that user, who would otherwise like
little else than playlists of their own, which are never recommended to them.
"""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages.blocks import THREADS, Blocks, read_only
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.trainer.dataset.arrays import Growing
from spotify_buddies.trainer.dataset.kernels import OVERLAP_BINS, SCORE_BINS, Space, Tastes, best_of_block, unpack_all
from spotify_buddies.trainer.dataset.labels.follows import load_follows
from spotify_buddies.trainer.dataset.table import SIMULATED
from spotify_buddies.trainer.reports.quantiles import describe, describe_bins, describe_counts
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]


def load_tastes(matrix: Path, songs: Path, beta: Array, among: Array | None = None) -> Tastes:
    """What the scoring kernels read, read-only, from part 2's and part 3's directories and e of each user.

    among bool (P): the playlists that may be met; None: all.
    """
    user_songs, playlist_songs = Csr.load(matrix, "user_songs"), Csr.load(matrix, "playlist_songs")
    by_song = (playlist_songs if among is None else playlist_songs.only(among)).transpose()
    longest = int(playlist_songs.counts.max(initial=0))
    tastes = Tastes(
        user_ptr=user_songs.indptr,
        user_songs=user_songs.indices,
        song_ptr=by_song.indptr,
        song_playlists=by_song.indices,
        root_songs=np.sqrt(user_songs.counts),
        # Half as many bytes in the cache for the array that is read once per pair.
        tracks=playlist_songs.counts.astype(np.uint16 if longest < 2**16 else np.int32),
        # Tables of roots and logarithms: the kernel looks them up instead of computing one for every pair.
        roots=np.sqrt(np.arange(longest + 1)),
        beta=beta,
        logs=np.log(1.0 + np.arange(int(user_songs.counts.max(initial=0)) + 1)),
        named_owner=np.load(songs / "named_owner.npy"),
    )
    return Tastes(*map(read_only, tastes))


def space_for(playlists: int) -> Space:
    """Working memory for one block: 16 bytes a playlist, of which the system gives what is touched."""
    return Space(np.zeros(playlists, np.int32), np.empty(playlists + 1, np.int32), np.empty(playlists, np.uint64))


class Scoring(NamedTuple):
    """What the scoring of a block reads."""

    tastes: Tastes
    liked_share: float


def score_block(inputs: Scoring, first: int, last: int) -> tuple[Array, ...]:
    """Parts 4 and 5 of users first..last; arrays as `best_of_block` names them, the liked with their scores last."""
    scored, totals = np.zeros(last - first, np.int64), np.zeros((last - first, 3))
    tallies = np.zeros(SCORE_BINS + OVERLAP_BINS, np.int64)
    space = space_for(inputs.tastes.named_owner.size)
    liked, keys = best_of_block(inputs.tastes, first, last, inputs.liked_share, space, scored, totals, tallies)
    return scored, totals, tallies, liked, *unpack_all(keys)


def score_users(
    directory: Path,
    matrix: Path,
    songs: Path,
    settings: DataSettings,
    progress: Progress,
    blocks: Blocks = THREADS,
) -> dict[str, Any]:
    """Write beta.npy float64 (U), scored.npy int64 (U) and CSR liked (U, P) with scores; the statistics of part 4.

    Where part 3 holds follows, they are liked, with their weights.
    """
    users = Csr.load(matrix, "user_songs").rows
    playlists = Csr.load(matrix, "playlist_songs").rows
    # One draw per user in the order of rows: a user keeps the e when others are added after.
    beta = generator(settings.seed, "beta").beta(settings.beta_a, settings.beta_b, users)
    inputs = Scoring(load_tastes(matrix, songs, beta), settings.liked_share)
    scored, totals, liked = np.zeros(users, np.int64), np.zeros((users, 3)), np.zeros(users, np.int64)
    tallies = np.zeros(SCORE_BINS + OVERLAP_BINS, np.int64)
    start = 0
    with (
        Growing(directory / "liked.indices.npy", np.int32) as indices,
        Growing(directory / "liked.values.npy", np.float32) as values,
        blocks.share(inputs) as shared,
    ):
        for part in shared.over(score_block, users, settings.block_users, "scores", progress):
            end = start + part[0].size
            scored[start:end], totals[start:end], liked[start:end] = part[0], part[1], part[3]
            tallies += part[2]
            indices.append(part[4])
            values.append(part[5])
            start = end
    np.save(directory / "liked.indptr.npy", np.concatenate([np.zeros(1, np.int64), np.cumsum(liked)]))
    np.save(directory / "liked.columns.npy", np.int64(playlists))
    if (follows := load_follows(matrix)) is not None:
        settled = follows.followed if follows.real else _without(Csr.load(directory, "liked"), follows.disliked)
        settled.save(directory, "liked")
    np.save(directory / "beta.npy", beta)
    np.save(directory / "scored.npy", scored)
    return _statistics(beta, scored, totals, tallies)


def _without(liked: Csr, disliked: Csr) -> Csr:
    """Likes that nobody contradicts, in memory."""
    rows = np.arange(liked.rows, dtype=np.int64)
    keys = np.repeat(rows, liked.counts) * liked.columns + np.asarray(liked.indices)
    refused = np.repeat(rows, disliked.counts) * liked.columns + np.asarray(disliked.indices)
    kept = ~np.isin(keys, refused)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])[np.asarray(liked.indptr)]
    values = None if liked.values is None else np.asarray(liked.values)[kept]
    return Csr(ends, np.asarray(liked.indices)[kept], liked.columns, values)


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


def take_liked(directory: Path, scores: Path, *, labels: str = SIMULATED) -> dict[str, Any]:
    """Take the likes over from part 4's directory; the statistics of part 5, which name real labels."""
    for path in sorted(scores.glob("liked.*")):
        try:
            # A link, not a move: part 4 stays complete, and a build of part 5 alone finds its input.
            os.link(path, directory / path.name)
        except OSError:  # a file system without links
            shutil.copyfile(path, directory / path.name)
    liked = Csr.load(directory, "liked")
    likers = liked.column_counts()
    return ({} if labels == SIMULATED else {"labels": labels}) | {
        "liked": liked.nnz,
        "liked_per_user": describe(liked.counts[liked.counts > 0]),
        "users_who_like_something": int((liked.counts > 0).sum()),
        "playlists_liked": int((likers > 0).sum()),
        "users_per_liked_playlist": describe(likers[likers > 0]),
    }
