"""An extract: the user-blocks of a window as training data, with where they came from. All or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from spotify_buddies.foundation.stages.stage import RELEASE, Writing, hash_file, swap
from spotify_buddies.foundation.terminal.durations import seconds
from spotify_buddies.trainer.retrain.rules import Chosen, choose, seen
from spotify_buddies.trainer.retrain.store import read_blocks, read_erasures
from spotify_buddies.trainer.retrain.window import Window
from spotify_buddies.trainer.settings import RetrainSettings

SCHEMA = 2
BLOCKS, FEEDBACK, LOOKS, MANIFEST = "blocks.parquet", "feedback.parquet", "looks.parquet", "manifest.json"
FILES = (BLOCKS, FEEDBACK, LOOKS)
_ROWS = 65_536


class ExtractError(Exception):
    """No extract can be made, or what lies there is none; the message says what to do."""


class NothingToLearn(ExtractError):
    """No user-block of the window teaches anything."""


@dataclass(frozen=True)
class Extract:
    """A finished extract. manifest: lineage and counts, see docs/retraining.md."""

    directory: Path
    manifest: dict[str, Any]


def make(url: str, window: Window, dataset: Path, directory: Path, settings: RetrainSettings) -> Extract:
    """Write the extract of a window into a directory, which is replaced when everything is there.

    dataset: whose playlists are known. The same feedback gives the same bytes. StoreError, ExtractError;
    NothingToLearn, where what lies in the directory stays.
    """
    playlists = _known(dataset)
    read = read_blocks(url, window)
    blocks = read.blocks
    chosen = choose(blocks, playlists, settings)
    if chosen.blocks.is_empty():
        said = ", ".join(f"{count:,} {reason}" for reason, count in chosen.reasons.items() if count)
        raise NothingToLearn(
            f"no user-block from {window.first:%Y-%m-%d %H:%M} to {window.until:%Y-%m-%d %H:%M} UTC teaches anything "
            f"({blocks.height:,} read{': ' + said if said else ''}); take a longer --window"
        )
    lineage = _lineage(window, blocks, chosen, read.later, settings)
    partial = write(
        directory,
        (chosen.blocks, follows(chosen), seen(chosen, settings.position_bias, seconds(settings.half_life))),
        lineage,
    )
    if read_erasures(url) != read.erasures:
        shutil.rmtree(partial.directory)
        raise ExtractError(
            "a listener was erased while the extract was made; nothing was written, run the command again"
        )
    swap(partial.directory, directory)
    return Extract(directory, partial.manifest)


def write(directory: Path, tables: Sequence[pl.DataFrame], lineage: dict[str, Any]) -> Extract:
    """Write the tables of FILES and the manifest beside where they belong. StageError: the disk is full."""
    partial = directory.with_name(f".{directory.name}.partial")
    with Writing(partial):
        partial.mkdir(parents=True, exist_ok=True)
        for name, frame in zip(FILES, tables, strict=True):
            frame.write_parquet(partial / name, compression="zstd", row_group_size=_ROWS, statistics=True)
        files = {
            name: {"rows": frame.height, "sha256": hash_file(partial / name)}
            for name, frame in zip(FILES, tables, strict=True)
        }
        manifest = {**lineage, "files": files}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return Extract(partial, manifest)


def open_extract(directory: Path) -> Extract:
    """Open an extract and check its hashes. ExtractError: it is none, or a file is not what was written."""
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
        wanted = {name: manifest["files"][name]["sha256"] for name in FILES}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExtractError(
            f"{directory}: no extract here ({error}); make one with `buddies retrain extract`"
        ) from error
    for name, sha256 in wanted.items():
        if not (directory / name).is_file() or hash_file(directory / name) != sha256:
            raise ExtractError(f"{directory / name}: not what was written; make the extract again")
    return Extract(directory, manifest)


def follows(chosen: Chosen) -> pl.DataFrame:
    """Likes of the valid blocks and dislikes of all people, the last word on each playlist, as `data build` reads them.

    Columns user_id, playlist_id, at, weight, kind; ascending by both ids.
    """
    liked = chosen.blocks.select(
        "user_id", pl.col("liked").list.first().alias("playlist_id"), "at", kind=pl.lit("like")
    )
    disliked = chosen.people.select("user_id", pl.col("disliked").alias("playlist_id"), "at", kind=pl.lit("dislike"))
    disliked = disliked.explode("playlist_id").drop_nulls("playlist_id")
    said = pl.concat([liked, disliked]).sort("at", "kind", maintain_order=True)
    last = said.unique(["user_id", "playlist_id"], keep="last", maintain_order=True).sort("user_id", "playlist_id")
    return last.select("user_id", "playlist_id", "at", pl.lit(1.0, pl.Float32).alias("weight"), "kind")


def _known(dataset: Path) -> pl.Series:
    path = dataset / "2-songs" / "playlists.parquet"
    try:
        return pl.read_parquet(path, columns=["playlist_id"])["playlist_id"]
    except FileNotFoundError:
        raise ExtractError(f"{path}: not there; run `buddies data build`, or name a data set with --dataset") from None
    except pl.exceptions.PolarsError as error:
        raise ExtractError(f"{path}: not readable ({error}); run `buddies data build` again") from error


def _lineage(
    window: Window, blocks: pl.DataFrame, chosen: Chosen, later: int, settings: RetrainSettings
) -> dict[str, Any]:
    kept = chosen.blocks
    earned = kept.group_by("model_version", "arm").len().sort("model_version", "arm")
    users = kept["user_id"]
    return {
        "schema": SCHEMA,
        "release": RELEASE,
        "from": window.first.isoformat(),
        "until": window.until.isoformat(),
        "settings": settings.model_dump(mode="json"),
        "blocks_read": blocks.height,
        "left_out": chosen.reasons,
        "blocks": kept.height,
        "users": users.n_unique(),
        "of_the_busiest_user": max(users.value_counts()["count"].to_list(), default=0),
        "splits": {name: int((kept["split"] == name).sum()) for name in ("train", "validation", "test")},
        "earned_by": earned.to_dicts(),
        "from_the_future": later,
    }
