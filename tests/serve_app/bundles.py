"""A small generated bundle: random factors, libraries and candidates, over a real index."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import SKETCH_BYTES, BundleParts, write_bundle

USERS, PLAYLISTS, SONGS, DIMENSION = 60, 120, 90, 8
# The last user has songs and no pairing; users from 40 on own nothing.
NO_PAIRING = USERS - 1
OWNERS = 40


def parts(index: Path, seed: int = 7) -> BundleParts:
    """Random factors, libraries and candidates; playlist p belongs to user p % 40, every tenth one to nobody."""
    rng = np.random.default_rng(seed)
    owner = np.where(np.arange(PLAYLISTS) % 10 == 9, -1, np.arange(PLAYLISTS) % OWNERS).astype(np.int32)
    candidates = [
        np.sort(rng.choice(np.flatnonzero((owner != user) & (owner >= 0)), rng.integers(1, 75), replace=False))
        for user in range(USERS)
    ]
    candidates[NO_PAIRING] = np.empty(0, np.int64)
    songs = [np.sort(rng.choice(SONGS, rng.integers(7, 40), replace=False)) for _ in range(USERS)]
    return BundleParts(
        user_factors=rng.normal(size=(USERS, DIMENSION)).astype(np.float32),
        playlist_factors=rng.normal(size=(PLAYLISTS, DIMENSION)).astype(np.float32),
        candidates=Csr.from_rows(candidates, PLAYLISTS),
        user_songs=Csr.from_rows(songs, SONGS),
        owned=Csr.from_rows([np.flatnonzero(owner == user) for user in range(USERS)], PLAYLISTS),
        owner=owner,
        popular=np.argsort(-np.arange(PLAYLISTS) % 17, kind="stable").astype(np.int32)[:50],
        popular_scores=np.arange(50, 0, -1).astype(np.float32),
        sketches=rng.integers(0, 256, (PLAYLISTS, SKETCH_BYTES), dtype=np.uint8),
        # Songs 0..29 are of genre 0, 30..59 of genre 1, 60..79 of genre 2, which nobody likes, the rest of none.
        song_genres=np.where(np.arange(SONGS) < 80, np.arange(SONGS) // 30, -1).astype(np.int16),
        genre_popular=Csr(
            np.array([0, 40, 80, 80]),
            np.concatenate([np.arange(40), np.arange(80, 40, -1)]).astype(np.int32),
            PLAYLISTS,
            np.concatenate([np.arange(40, 0, -1), np.arange(40, 0, -1)]).astype(np.float32),
        ),
        user_ids=[f"user-{user}" for user in range(USERS)],
        playlist_ids=[f"list-{playlist}" for playlist in range(PLAYLISTS)],
        playlist_titles=[f"Mixtape No. {playlist} é" for playlist in range(PLAYLISTS)],
        song_titles=[f"Song {song}" for song in range(SONGS)],
        song_artists=[f"Artist {song % 11}" for song in range(SONGS)],
        song_ids=[f"SO{song:04}" for song in range(0, SONGS, 2)],
        song_id_rows=np.arange(0, SONGS, 2, dtype=np.int32),
        index=index,
        matching="plain",
        dataset_fingerprint="generated",
        training={},
        metrics={},
    )


def make_bundle(directory: Path) -> Path:
    """Write the generated bundle, with a real index, and return its directory."""
    from spotify_buddies.pairing.neighbours.search import build_index
    from spotify_buddies.pairing.settings import PairingSettings

    index = directory / "index"
    index.mkdir(parents=True)
    build_index(parts(index).user_songs, index, PairingSettings(dimension=16))
    write_bundle(directory / "bundle", parts(index))
    return directory / "bundle"
