"""A made-up catalogue with listens, follows, dislikes and times: everybody is of one genre, and follows lists of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

GENRES, PLAYLISTS, SONGS = 4, 80, 160
LISTENERS, FOLLOWERS = 40, 60
START = 1_600_000_000


def user(row: int) -> str:
    return f"listener-{row}" if row < LISTENERS else f"follower-{row}"


def write_follow_data(
    directory: Path, *, seed: int = 3, times: bool = True, listens: bool = True, dislikes: bool = True
) -> Path:
    """Users 0..39 listen, of whom 20..39 follow too; 40..99 follow alone. Every fourth playlist names no owner."""
    directory.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    genre_songs = np.arange(SONGS).reshape(GENRES, -1)
    heard = [
        {"user_id": user(row), "title": f"song {song}", "artist": f"artist {song % 20}"}
        for row in range(LISTENERS)
        for song in rng.choice(genre_songs[row % GENRES], 15, replace=False)
    ]
    tracks = [
        {
            "playlist_id": f"list-{row}",
            "name": f"List {row}",
            # Of a genre's twenty lists the first ten belong to ten listeners; every other one to nobody.
            "owner_id": user(row % LISTENERS) if row % 8 < 4 else "",
            "title": f"song {song}",
            "artist": f"artist {song % 20}",
        }
        for row in range(PLAYLISTS)
        for song in rng.choice(genre_songs[row % GENRES], 10, replace=False)
    ]
    said, refused = [], []
    for row in range(LISTENERS // 2, LISTENERS + FOLLOWERS):
        lists = np.arange(row % GENRES, PLAYLISTS, GENRES)
        lists = lists[(lists % 8 >= 4) | (lists % LISTENERS != row)]
        for playlist in rng.choice(lists, 10, replace=False):
            at = START + int(rng.integers(0, 10_000_000))
            said.append({"user_id": user(row), "playlist_id": f"list-{playlist}", "at": at})
        other = int(rng.choice(np.arange((row + 1) % GENRES, PLAYLISTS, GENRES)))
        refused.append({"user_id": user(row), "playlist_id": f"list-{other}", "at": START})
    if listens:
        pl.DataFrame(heard).write_csv(directory / "listens.csv")
    pl.DataFrame(tracks).write_csv(directory / "playlists.csv")
    pl.DataFrame(said).select(pl.all() if times else pl.exclude("at")).write_parquet(directory / "follows.parquet")
    if dislikes:
        pl.DataFrame(refused).write_csv(directory / "dislikes.csv")
    return directory
