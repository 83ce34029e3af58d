"""The cut of playlists into a library and a playlist that share no song."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Halves:
    """Row i of library and of playlist are the two halves of playlist rows[i]; both ascending, over the same songs."""

    rows: Array
    library: Csr
    playlist: Csr


def cut(playlist_songs: Csr, *, least: int, seed: int) -> Halves:
    """Cut every playlist of at least `least` songs (2 or more) at random; an odd song goes to the library.

    playlist_songs (P, S), ascending. None is long enough: no rows. ValueError: least is below 2.
    """
    if least < 2:
        raise ValueError(f"a playlist of {least} songs has no two halves")
    rows = np.flatnonzero(playlist_songs.counts >= least)
    counts = playlist_songs.counts[rows]
    owner = np.repeat(np.arange(rows.size), counts)
    starts = np.repeat(np.asarray(playlist_songs.indptr)[rows] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    songs = np.asarray(playlist_songs.indices)[np.arange(owner.size) + starts]
    order = np.lexsort((generator(seed, "organic/halves").random(owner.size), owner))
    place = np.arange(owner.size) - np.repeat(np.cumsum(counts) - counts, counts)
    first = np.empty(owner.size, np.bool_)
    first[order] = place < np.repeat((counts + 1) // 2, counts)
    return Halves(
        rows,
        _take(owner, songs, first, rows.size, playlist_songs.columns),
        _take(owner, songs, ~first, rows.size, playlist_songs.columns),
    )


def _take(owner: Array, songs: Array, chosen: Array, rows: int, columns: int) -> Csr:
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(owner[chosen], minlength=rows))])
    return Csr(indptr, songs[chosen].astype(np.int32), columns)


def write_raw(halves: Halves, playlist_ids: pl.Series, songs: pl.DataFrame, directory: Path) -> dict[str, int]:
    """Write the halves as own data: listens.parquet and playlists.parquet, each playlist owned by its user.

    playlist_ids by playlist row; songs with title and artist by song row. An owned playlist is never scored for its
    owner, so that the data set built from these files leaves the own pair out. Songs without a name are left out.
    """
    ids = playlist_ids.gather(halves.rows)
    named = (songs["title"].str.strip_chars() != "") & (songs["artist"].str.strip_chars() != "")
    listens = _long(halves.library, ids, songs, named).rename({"id": "user_id"})
    lists = _long(halves.playlist, ids, songs, named).rename({"id": "playlist_id"})
    listens.write_parquet(directory / "listens.parquet")
    lists.with_columns(name=pl.col("playlist_id"), owner_id=pl.col("playlist_id")).write_parquet(
        directory / "playlists.parquet"
    )
    return {"playlists": halves.rows.size, "listens": listens.height, "tracks": lists.height}


def _long(half: Csr, ids: pl.Series, songs: pl.DataFrame, named: pl.Series) -> pl.DataFrame:
    rows = np.repeat(np.arange(half.rows), half.counts)
    columns = np.asarray(half.indices)
    kept = named.to_numpy()[columns]
    long: pl.DataFrame = songs.select("title", "artist")[columns[kept]].with_columns(id=ids.gather(rows[kept]))
    return long
