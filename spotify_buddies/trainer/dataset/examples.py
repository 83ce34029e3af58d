"""Some users of a data set with songs of theirs, to try the service with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.stage import load
from spotify_buddies.trainer.dataset.table import BUILD, COLD, WARM


def examples(dataset: Path, *, count: int, songs: int, cold: bool = False) -> list[dict[str, Any]]:
    """`count` users, spread evenly over the data set, each {"user_id", "songs": [{"title", "artist"}, ..]}.

    cold: of those held out from training. Fewer when there are not as many; only named songs are shown. StageError:
    the data set is not finished.
    """
    kinds = np.load(load(dataset, "6-split", BUILD).directory / "user_kind.npy", mmap_mode="r")
    rows = np.flatnonzero(kinds == (COLD if cold else WARM))
    chosen = rows[np.linspace(0, rows.size - 1, min(count, rows.size)).astype(np.int64)] if rows.size else rows
    user_ids = pl.read_parquet(dataset / "2-songs" / "users.parquet")["user_id"]
    names = pl.read_parquet(dataset / "2-songs" / "songs.parquet")
    library = Csr.load(load(dataset, "3-matrix", BUILD).directory, "user_songs")
    return [{"user_id": user_ids[int(row)], "songs": _named(names, library.row(int(row)), songs)} for row in chosen]


def _named(names: pl.DataFrame, rows: Any, count: int) -> list[dict[str, str]]:
    mine = names[rows.tolist()].filter((pl.col("title").str.len_bytes() > 0) & (pl.col("artist").str.len_bytes() > 0))
    named: list[dict[str, str]] = mine.select("title", "artist").head(count).to_dicts()
    return named
