"""Part 3: binary user x song and playlist x song matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.kernels import distinct
from spotify_buddies.trainer.reports.quantiles import describe

Array = npt.NDArray[Any]


def build_matrices(directory: Path, raw: Path, songs: Path) -> dict[str, Any]:
    """Write CSR user_songs (U, S) and playlist_songs (P, S), binary, ascending, from part 1's codes and part 2's rows.

    A user's songs are the listens; a user who is known only as an owner has the songs of the owned playlists.
    """
    rows = np.load(songs / "song_rows.npy")
    count = int(rows.max(initial=-1)) + 1
    tracks, listens = Csr.load(raw, "tracks"), Csr.load(raw, "listens")
    playlist_songs = _distinct(tracks, rows, count)
    heard_songs = _distinct(listens, rows, count)
    owner = np.load(songs / "named_owner.npy")
    users = pl.read_parquet(songs / "users.parquet").height
    user_songs = _with_owners(heard_songs, playlist_songs, owner, users)
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
    }


def _distinct(matrix: Csr, rename: Array, columns: int) -> Csr:
    indptr, indices = distinct(np.asarray(matrix.indptr), np.asarray(matrix.indices), rename)
    return Csr(indptr, indices, columns)


def _with_owners(heard: Csr, playlists: Csr, owner: Array, users: int) -> Csr:
    """Append the libraries of the owners without listens: the union of their playlists' songs."""
    added = users - heard.rows
    if not added:
        return heard
    own = Csr.from_rows([[] if row < heard.rows else [row] for row in owner.tolist()], users).transpose()
    parts = [[playlists.row(j) for j in own.row(user)] for user in range(heard.rows, users)]
    # Never without a playlist: somebody is added as an owner because a playlist names them.
    libraries = [np.unique(np.concatenate(part)) for part in parts]
    indptr = np.concatenate([heard.indptr, heard.indptr[-1] + np.cumsum([len(songs) for songs in libraries])])
    return Csr(indptr.astype(np.int64), np.concatenate([heard.indices, *libraries]), heard.columns)


def _matched(user_songs: Csr, playlist_songs: Csr) -> Array:
    """How many of each user's songs are in a playlist of anybody, int64 (U)."""
    listed = np.zeros(user_songs.columns, bool)
    listed[playlist_songs.indices] = True
    # A running sum, of which each row takes a difference: no loop over users.
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(listed[user_songs.indices], dtype=np.int64)])
    matched: Array = before[user_songs.indptr[1:]] - before[user_songs.indptr[:-1]]
    return matched
