"""Bundles whose factors a test chooses, over the planted data set's people, playlists and songs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.search import build_index
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.bundle import SKETCH_BYTES, Bundle, BundleParts, write_bundle
from spotify_buddies.trainer.bundle.songs import SongFactors
from spotify_buddies.trainer.dataset.table import Dataset


def hand_made(
    directory: Path,
    data: Dataset,
    user_factors: np.ndarray,
    playlist_factors: np.ndarray,
    *,
    users: Sequence[int],
    playlists: Sequence[int],
    songs: Sequence[int] | None = None,
    with_ids: bool = True,
    offered: Csr | None = None,
    song_factors: SongFactors | None = None,
) -> Bundle:
    """A bundle of some rows of the data set, in the order given.

    songs: None: all. with_ids: songs have the ids of the listening data, and not their names alone. offered:
    candidates, over the bundle's rows; its values are the offsets of their scores. song_factors: over its songs.
    """
    kept = np.arange(data.songs) if songs is None else np.asarray(songs)
    there = np.full(data.songs, -1)
    there[kept] = np.arange(kept.size)
    held = [there[data.user_songs.row(user)] for user in users]
    user_songs = Csr.from_rows([np.unique(row[row >= 0]) for row in held], kept.size)
    ids = data.song_id_table.filter(pl.Series(with_ids & (there[data.song_id_table["song_row"].to_numpy()] >= 0)))
    index = directory.with_name(f"{directory.name}-index")
    index.mkdir(parents=True)
    build_index(user_songs, index, PairingSettings(dimension=16))
    lists, names = len(playlists), data.song_table[kept]
    nothing = Csr(np.zeros(len(users) + 1, np.int64), np.empty(0, np.int32), lists)
    parts = BundleParts(
        user_factors=np.asarray(user_factors, np.float32),
        playlist_factors=np.asarray(playlist_factors, np.float32),
        candidates=nothing if offered is None else offered,
        user_songs=user_songs,
        owned=nothing,
        owner=np.full(lists, -1, np.int32),
        popular=np.arange(lists, dtype=np.int32),
        popular_scores=np.arange(lists, 0, -1).astype(np.float32),
        # Of playlists that have nothing in common: none is left out of a list beside another.
        sketches=np.random.default_rng(0).integers(0, 256, (lists, SKETCH_BYTES), dtype=np.uint8),
        song_genres=np.full(kept.size, -1, np.int16),
        genre_popular=Csr(np.zeros(1, np.int64), np.empty(0, np.int32), lists, np.empty(0, np.float32)),
        user_ids=data.user_table["user_id"].gather(users).to_list(),
        playlist_ids=data.playlist_table["playlist_id"].gather(playlists).to_list(),
        playlist_titles=[""] * lists,
        song_titles=names["title"].fill_null("").to_list(),
        song_artists=names["artist"].fill_null("").to_list(),
        song_ids=ids["song_id"].to_list(),
        song_id_rows=there[ids["song_row"].to_numpy()].astype(np.int32),
        index=index,
        matching="plain",
        dataset_fingerprint=data.fingerprint,
        training={},
        metrics={},
        song_factors=song_factors,
    )
    return write_bundle(directory, parts)
