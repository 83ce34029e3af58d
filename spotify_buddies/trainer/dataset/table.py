"""The finished data set, memory-mapped, as the next stages read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages import stage

Array = npt.NDArray[Any]

# What to do where a part is missing or made from another one.
BUILD = "build the data set with `buddies data build`"

RAW, SONGS, MATRIX, SCORE, LIKED = "1-raw", "2-songs", "3-matrix", "4-score", "5-liked"
SPLIT, OWN, TRIPLETS, VALIDATION = "6-split", "7-own", "8-triplets", "9-validation"
STAGES = (RAW, SONGS, MATRIX, SCORE, LIKED, SPLIT, OWN, TRIPLETS, VALIDATION)

# What liked holds: the best-scored playlists, or what users follow.
SIMULATED, FOLLOWS = "simulated", "follows"

NOT_SAMPLED, WARM, COLD = 0, 1, 2
IN_TRAIN, IN_VALIDATION, IN_TEST, UNUSED = 0, 1, 2, 3


@dataclass(frozen=True)
class Pools:
    """What triplets are drawn from: positives of training (U, P), and samples of the two pools of negatives (U, P).

    negatives, hard_share: as the data set's settings have them. toy_users int32: rows of the toy set, ascending.
    """

    positives: Csr
    hard: Csr
    easy: Csr
    toy_users: Array
    negatives: int
    hard_share: float


@dataclass(frozen=True)
class Dataset:
    """One finished data set: U users, P playlists, S songs. Arrays are read-only maps of the files.

    user_songs (U, S), playlist_songs (P, S): binary, ascending. liked (U, P): float32 scores, best first; split
    uint8, one per entry of liked (IN_TRAIN, IN_VALIDATION, IN_TEST, UNUSED). user_kind uint8 (U): NOT_SAMPLED, WARM,
    COLD. playlist_kept bool (P). owner int32 (P), user row or -1; owned (U, P), the same by user. triplets and
    toy_triplets int32 (N, 3): user, positive, negative, shuffled; None where training draws them from pools, see
    trainer.models.drawn.open_source. validation, hard_validation, test, hard_test int32 (N, 2 + negatives): user,
    positive, negatives. labels: SIMULATED or FOLLOWS, where liked holds weights; disliked (U, P): what users said
    they dislike, ascending, empty where nothing is known. feedback_alone: the follows are likes of a service's lists,
    and nobody said more: such a playlist may come back, as it does while a version serves. fingerprint: sha256 of the
    last stage, which covers all before it.
    """

    directory: Path
    fingerprint: str
    matching: str
    user_songs: Csr
    playlist_songs: Csr
    liked: Csr
    split: Array
    user_kind: Array
    playlist_kept: Array
    owner: Array
    owned: Csr
    triplets: Array | None
    toy_triplets: Array | None
    validation: Array
    hard_validation: Array
    test: Array
    hard_test: Array
    pools: Pools | None = None
    labels: str = SIMULATED
    disliked_pairs: Csr | None = None
    feedback_alone: bool = False

    @property
    def users(self) -> int:
        """Number of users, warm or not."""
        return self.user_songs.rows

    @property
    def playlists(self) -> int:
        """Number of playlists, kept or not."""
        return self.playlist_songs.rows

    @property
    def songs(self) -> int:
        """Number of songs."""
        return self.user_songs.columns

    @property
    def disliked(self) -> Csr:
        """Playlists that each user dislikes (U, P), ascending; empty rows where nobody said so."""
        if self.disliked_pairs is not None:
            return self.disliked_pairs
        return Csr(np.zeros(self.users + 1, np.int64), np.empty(0, np.int32), self.playlists)

    def servable(self, candidates: Csr) -> Csr:
        """Candidates (U, P) without what their user dislikes or, of real labels, follows in training already."""
        follows = self.labels == FOLLOWS and not self.feedback_alone
        if not follows and not self.disliked.nnz:
            return candidates
        known = np.asarray(self.split) == IN_TRAIN if follows else np.zeros(self.liked.nnz, np.bool_)
        taken = np.concatenate([_keys(self.liked)[known], _keys(self.disliked)])
        kept = ~np.isin(_keys(candidates), taken)
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])[np.asarray(candidates.indptr)]
        values = None if candidates.values is None else candidates.values[kept]
        return Csr(ends, np.asarray(candidates.indices)[kept], candidates.columns, values)

    def count_train_likes(self) -> Array:
        """Users who like each playlist in training, int64 (P)."""
        return self.liked.column_counts(lambda span: self.split[span] == IN_TRAIN)

    @cached_property
    def user_table(self) -> pl.DataFrame:
        """user_id, by user row."""
        return pl.read_parquet(self.directory / SONGS / "users.parquet")

    @cached_property
    def playlist_table(self) -> pl.DataFrame:
        """playlist_id, title, followers (null where unknown), owner_id (null where not named), by playlist row."""
        return pl.read_parquet(self.directory / SONGS / "playlists.parquet")

    @cached_property
    def song_table(self) -> pl.DataFrame:
        """title, artist as first written (empty where only an id is known), by song row."""
        return pl.read_parquet(self.directory / SONGS / "songs.parquet")

    @cached_property
    def song_id_table(self) -> pl.DataFrame:
        """song_id, song_row: every id of the listening data and the row it became."""
        return pl.read_parquet(self.directory / SONGS / "song_ids.parquet")

    @cached_property
    def song_alias_table(self) -> pl.DataFrame:
        """key, song_row: keys of full matching that only near names brought to their row; empty where none were.

        Empty for a data set of an earlier release, too.
        """
        path = self.directory / SONGS / "song_aliases.parquet"
        return pl.read_parquet(path) if path.exists() else pl.DataFrame(schema={"key": pl.String, "song_row": pl.Int32})


def likes_used(data: Dataset, use: int) -> Csr:
    """Likes with one use, such as IN_TRAIN (U, P), in the order of data.liked, without values.

    Only warm users have likes with a use.
    """
    kept = np.asarray(data.split) == use
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
    return Csr(before[np.asarray(data.liked.indptr)], np.asarray(data.liked.indices)[kept], data.liked.columns)


def train_likes(data: Dataset) -> Csr:
    """Likes that training sees (U, P), ascending within a row, without values."""
    return likes_used(data, IN_TRAIN).transpose().transpose()


def _keys(pairs: Csr) -> Array:
    """One number for each entry, the same for the same row and column; int64 (nnz,)."""
    starts = np.arange(pairs.rows, dtype=np.int64) * pairs.columns
    keys: Array = np.repeat(starts, pairs.counts) + np.asarray(pairs.indices)
    return keys


def open_dataset(directory: Path) -> Dataset:
    """Map a finished data set.

    foundation.stages.stage.StageError names the part that is missing, unfinished, or made from an earlier part that has
    been built anew since: that is what an interrupted build leaves behind.
    """
    stamps = stage.load_chain(directory, STAGES, BUILD)

    # By the stamp, which lists what the part consists of.
    stored = "triplets.npy" in stamps[TRIPLETS].files

    disliked = "disliked_early.npy" in stamps[MATRIX].files

    def array(part: str, name: str) -> Array:
        loaded: Array = np.load(directory / part / f"{name}.npy", mmap_mode="r")
        return loaded

    return Dataset(
        directory=directory,
        fingerprint=stamps[VALIDATION].fingerprint,
        matching=str(stamps[SONGS].statistics["matching"]),
        user_songs=Csr.load(directory / MATRIX, "user_songs"),
        playlist_songs=Csr.load(directory / MATRIX, "playlist_songs"),
        liked=Csr.load(directory / LIKED, "liked"),
        split=array(SPLIT, "split"),
        user_kind=array(SPLIT, "user_kind"),
        playlist_kept=array(SPLIT, "playlist_kept"),
        owner=array(OWN, "owner"),
        owned=Csr.load(directory / OWN, "owned"),
        triplets=array(TRIPLETS, "triplets") if stored else None,
        toy_triplets=array(TRIPLETS, "triplets-toy") if stored else None,
        validation=array(VALIDATION, "random"),
        hard_validation=array(VALIDATION, "hard"),
        test=array(VALIDATION, "test-random"),
        hard_test=array(VALIDATION, "test-hard"),
        pools=_pools(directory / TRIPLETS, stamps[TRIPLETS]),
        labels=str(stamps[LIKED].statistics.get("labels", SIMULATED)),
        disliked_pairs=Csr.load(directory / MATRIX, "disliked") if disliked else None,
        feedback_alone=bool(stamps[OWN].statistics.get("feedback_alone", False)),
    )


def _pools(directory: Path, stamp: stage.Stamp) -> Pools | None:
    if "toy_users.npy" not in stamp.files:
        return None
    return Pools(
        positives=Csr.load(directory, "positives"),
        hard=Csr.load(directory, "hard"),
        easy=Csr.load(directory, "easy"),
        toy_users=np.load(directory / "toy_users.npy"),
        negatives=int(stamp.statistics["negatives"]),
        hard_share=float(stamp.statistics["hard_share"]),
    )
