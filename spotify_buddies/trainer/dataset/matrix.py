"""Part 3: binary user x song and playlist x song matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.kernels import distinct, group
from spotify_buddies.trainer.dataset.labels.follows import read_follows
from spotify_buddies.trainer.reports.quantiles import describe
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]


def build_matrices(directory: Path, raw: Path, songs: Path, settings: DataSettings) -> dict[str, Any]:
    """Write CSR user_songs (U, S) and playlist_songs (P, S), binary, ascending, from part 1's codes and part 2's rows.

    A user's songs are the listens. A user without listens has the songs of the owned playlists and of those followed in
    training: what is held out must not show in the library that a model starts from. Where there are follows, they are
    written too (see trainer.dataset.labels.follows).
    """
    rows = np.load(songs / "song_rows.npy")
    count = int(rows.max(initial=-1)) + 1
    tracks, listens = Csr.load(raw, "tracks"), Csr.load(raw, "listens")
    playlist_songs = _distinct(tracks, rows, count)
    heard_songs = _distinct(listens, rows, count)
    owner = np.load(songs / "named_owner.npy")
    users = pl.read_parquet(songs / "users.parquet").height
    lists = _owned(owner, users)
    library = lists.counts > 0
    library[: heard_songs.rows] |= heard_songs.counts > 0
    labels = read_follows(raw, owner, library, settings)
    followed: dict[str, Any] = {}
    if labels is not None:
        follows, followed = labels
        follows.save(directory)
        lists = _joined(lists, follows.of_training())
    user_songs = _with_libraries(heard_songs, playlist_songs, lists)
    user_songs.save(directory, "user_songs")
    playlist_songs.save(directory, "playlist_songs")
    matched = _matched(user_songs, playlist_songs)
    return {
        "users": user_songs.rows,
        "playlists": playlist_songs.rows,
        "songs": count,
        "songs_per_user": describe(user_songs.counts),
        "songs_per_playlist": describe(playlist_songs.counts),
        "matched_songs_per_user": describe(matched),
        "users_without_a_match": int((matched == 0).sum()),
        "playlists_without_a_song": int((playlist_songs.counts == 0).sum()),
        "listens_of_the_same_song": listens.nnz - heard_songs.nnz,
        "tracks_of_the_same_song": tracks.nnz - playlist_songs.nnz,
        **followed,
    }


def _distinct(matrix: Csr, rename: Array, columns: int) -> Csr:
    indptr, indices = distinct(np.asarray(matrix.indptr), np.asarray(matrix.indices), rename)
    return Csr(indptr, indices, columns)


def _owned(owner: Array, users: int) -> Csr:
    has = np.flatnonzero(owner >= 0).astype(np.int32)
    indptr, indices = group(owner[has], has, users)
    return Csr(indptr, indices, owner.size)


def _joined(first: Csr, second: Csr) -> Csr:
    """Rows that hold what either holds, once, ascending."""
    both = (first.to_scipy() + second.to_scipy()).tocsr()
    both.sort_indices()
    return Csr(both.indptr.astype(np.int64), both.indices.astype(np.int32), first.columns)


def _with_libraries(heard: Csr, playlists: Csr, lists: Csr) -> Csr:
    """The listens, and for users without any the union of the songs of their `lists` (U, P)."""
    without = np.ones(lists.rows, bool)
    without[: heard.rows] = heard.counts == 0
    if not without.any():
        return heard
    counts = np.zeros(lists.rows, np.int64)
    counts[: heard.rows] = heard.counts
    libraries = {user: _union(playlists, lists.row(user)) for user in np.flatnonzero(without).tolist()}
    counts[list(libraries)] = [songs.size for songs in libraries.values()]
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    indices = np.empty(int(indptr[-1]), np.int32)
    indices[np.repeat(~without, counts)] = heard.indices
    indices[np.repeat(without, counts)] = np.concatenate([*libraries.values()])
    return Csr(indptr, indices, heard.columns)


def _union(playlists: Csr, rows: Array) -> Array:
    songs = [playlists.row(row) for row in rows.tolist()]
    return np.unique(np.concatenate([np.empty(0, np.int32), *songs]))


def _matched(user_songs: Csr, playlist_songs: Csr) -> Array:
    """How many of each user's songs are in a playlist of anybody, int64 (U)."""
    listed = np.zeros(user_songs.columns, bool)
    listed[playlist_songs.indices] = True
    # A running sum, of which each row takes a difference: no loop over users.
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(listed[user_songs.indices], dtype=np.int64)])
    matched: Array = before[user_songs.indptr[1:]] - before[user_songs.indptr[:-1]]
    return matched
