"""Extracts that are spoiled on purpose, each as a fault would leave it; of the cut one alone the hash is wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

BLOCKS, FEEDBACK, LOOKS = "blocks.parquet", "feedback.parquet", "looks.parquet"
TABLES = (BLOCKS, FEEDBACK, LOOKS)
# Invented listeners of the inflated extract, and the playlists that they all like.
CROWD, PUSHED = 1_500, 5


def shuffled(extract: Path, target: Path) -> None:
    """What everybody said belongs to somebody else, as where users were joined wrongly."""
    users = pl.concat([pl.read_parquet(extract / name)["user_id"] for name in TABLES]).unique().sort()
    others = dict(zip(users.to_list(), np.random.default_rng(1).permutation(users.to_numpy()).tolist(), strict=True))
    _changed(extract, target, lambda _, table: table.with_columns(pl.col("user_id").replace(others)))


def inflated(extract: Path, target: Path) -> None:
    """Real listeners' accounts were used to like the same few playlists, in every part of the window."""
    blocks = pl.read_parquet(extract / BLOCKS)
    pushed = blocks["liked"].list.first().unique().sort().to_list()[:PUSHED]
    people = blocks["user_id"].unique().sort().to_list()
    rng = np.random.default_rng(2)
    crowd = pl.DataFrame(
        {
            "user_id": [people[row] for row in rng.integers(len(people), size=CROWD)],
            "playlist_id": [pushed[row] for row in rng.integers(PUSHED, size=CROWD)],
            "place": rng.integers(blocks.height, size=CROWD),
        }
    ).unique(["user_id", "playlist_id"], maintain_order=True)
    taken = blocks[crowd["place"].to_list()]

    def add(name: str, table: pl.DataFrame) -> pl.DataFrame:
        if name == BLOCKS:
            rows = taken.with_columns(
                user_id=crowd["user_id"], liked=crowd["playlist_id"].reshape((-1, 1)).arr.to_list()
            )
            rows = rows.with_columns(pl.col("at") + timedelta(microseconds=1), rank=pl.lit(1, pl.Int64))
            return pl.concat([table, rows.select(table.columns)]).sort("at")
        if name == FEEDBACK:
            rows = crowd.select(
                "user_id", "playlist_id", at=taken["at"], weight=pl.lit(1.0, pl.Float32), kind=pl.lit("like")
            )
            return (
                pl.concat([table, rows]).unique(["user_id", "playlist_id"], keep="last").sort("user_id", "playlist_id")
            )
        rows = crowd.select("user_id", "playlist_id", split=taken["split"], looks=pl.lit(1.0), likes=pl.lit(1.0))
        return pl.concat([table, rows]).sort("user_id", "playlist_id", "split")

    _changed(extract, target, add)


def cut(extract: Path, target: Path) -> None:
    """The last half of a file is missing, as after a full disk or a broken copy."""
    shutil.copytree(extract, target)
    path = target / FEEDBACK
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _changed(extract: Path, target: Path, change: Callable[[str, pl.DataFrame], pl.DataFrame]) -> None:
    """Another extract whose manifest says what its files are: nothing but their content is wrong."""
    shutil.copytree(extract, target)
    manifest = json.loads((target / "manifest.json").read_bytes())
    for name in TABLES:
        table = change(name, pl.read_parquet(extract / name))
        table.write_parquet(target / name)
        digest = hashlib.sha256((target / name).read_bytes()).hexdigest()
        manifest["files"][name] = {"rows": table.height, "sha256": digest}
    (target / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
