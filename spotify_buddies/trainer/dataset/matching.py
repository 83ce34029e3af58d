"""Part 2: one song id space. Songs with the same normalised title and artist become one row, whatever their source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.foundation.text.song_keys import Matching, song_key
from spotify_buddies.trainer.dataset.reading.intern import Ids

Array = npt.NDArray[Any]

_TICK = 200_000


def match_songs(directory: Path, raw: Path, matching: Matching, progress: Progress) -> dict[str, Any]:
    """Give every raw song its row; write users, playlists, songs, song_ids (.parquet).

    Beside them: song_rows.npy int32 (raw songs,) and named_owner.npy int32 (P), the user row of the owner that a
    playlist names, -1 where it names none.

    Rows are in the order of first appearance, songs of the listens first. A song without a name keeps a row of its own.
    Users are those of the listens, then the owners that playlists name and who have none, in the order of playlists.
    """
    songs = pl.read_parquet(raw / "songs.parquet")
    heard, listed = _used(raw, songs.height)
    # Both kinds of matching are measured, so that the gain of the better one is seen before it is chosen.
    kinds: tuple[Matching, Matching] = ("plain", "full")
    rows = {kind: song_rows(songs, kind, progress) for kind in kinds}
    gain = {
        f"{what}_{kind}_matching": n for kind in kinds for what, n in _shared(raw, rows[kind], heard, listed).items()
    }
    chosen = rows[matching]
    count = int(chosen.max()) + 1 if chosen.size else 0
    # The first raw song of each row: its spelling is the one that is shown.
    first = np.full(count, chosen.size, np.int64)
    np.minimum.at(first, chosen, np.arange(chosen.size))
    songs.select("title", "artist")[first].write_parquet(directory / "songs.parquet")
    ids = songs.select("song_id").with_columns(song_row=pl.Series(chosen, dtype=pl.Int32)).drop_nulls("song_id")
    ids.write_parquet(directory / "song_ids.parquet")
    np.save(directory / "song_rows.npy", chosen)
    users, owners = _people(directory, raw)
    return {
        "matching": matching,
        "users": users,
        "owners_added_as_users": owners,
        "songs": count,
        "songs_heard": _count(chosen, heard),
        "songs_in_playlists": _count(chosen, listed),
        "shared_songs": gain[f"shared_songs_{matching}_matching"],
        "songs_heard_without_a_name": int((songs["title"] == "").sum()),
        **gain,
    }


def song_rows(songs: pl.DataFrame, matching: Matching, progress: Progress) -> Array:
    """The row of every raw song, int32 (raw songs,), in the order of first appearance."""
    keys = Ids()
    rows = np.empty(songs.height, np.int32)
    what = f"song names, {matching} matching"
    for i, (title, artist) in enumerate(zip(songs["title"].to_list(), songs["artist"].to_list(), strict=True)):
        if i % _TICK == 0:
            progress(what, i, songs.height, "songs")
        # No name holds \0, so that a song without one meets nobody.
        rows[i] = keys.code(song_key(title, artist, matching) if title else f"\0{i}")
    progress(what, songs.height, songs.height, "songs")
    return rows


def _used(raw: Path, songs: int) -> tuple[Array, Array]:
    heard, listed = np.zeros(songs, bool), np.zeros(songs, bool)
    heard[Csr.load(raw, "listens").indices] = True
    listed[Csr.load(raw, "tracks").indices] = True
    return heard, listed


def _shared(raw: Path, rows: Array, heard: Array, listed: Array) -> dict[str, int]:
    """How much the listens and the playlists have in common.

    Better matching also merges songs: the number of shared songs may fall while the listens and tracks that meet a
    song of the other side rise.
    """
    count = int(rows.max(initial=-1)) + 1
    is_heard, is_listed = np.zeros(count, bool), np.zeros(count, bool)
    is_heard[rows[heard]] = True
    is_listed[rows[listed]] = True
    return {
        "songs": count,
        "shared_songs": int((is_heard & is_listed).sum()),
        "listens_with_a_playlist": int(is_listed[rows[Csr.load(raw, "listens").indices]].sum()),
        "tracks_with_a_listener": int(is_heard[rows[Csr.load(raw, "tracks").indices]].sum()),
    }


def _count(rows: Array, used: Array) -> int:
    return int(np.unique(rows[used]).size)


def _people(directory: Path, raw: Path) -> tuple[int, int]:
    users = pl.read_parquet(raw / "users.parquet")
    playlists = pl.read_parquet(raw / "playlists.parquet")
    named = playlists["owner_id"].drop_nulls().unique(maintain_order=True)
    added = named.filter(~named.is_in(users["user_id"].implode()))
    everyone = pl.concat([users["user_id"], added.rename("user_id")])
    pl.DataFrame({"user_id": everyone}).write_parquet(directory / "users.parquet")
    playlists.write_parquet(directory / "playlists.parquet")
    named_rows = pl.DataFrame({"owner_id": everyone, "row": pl.Series(range(everyone.len()), dtype=pl.Int32)})
    owner = playlists.select("owner_id").join(named_rows, on="owner_id", how="left", maintain_order="left")["row"]
    np.save(directory / "named_owner.npy", owner.fill_null(-1).to_numpy())
    return everyone.len(), added.len()
