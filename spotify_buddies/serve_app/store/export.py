"""Feedback as follows: what listeners like and dislike now, as a file of real interactions for `buddies data build`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from spotify_buddies.serve_app.store.report import is_current

# The last word of each listener on each playlist; an ignored list entry is no word.
_READ = """
SELECT DISTINCT ON (user_id, playlist_id) user_id, playlist_id, at, score
FROM reactions WHERE score <> 0
ORDER BY user_id, playlist_id, at DESC, feedback_id DESC
"""
_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("playlist_id", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("weight", pa.float32()),
        ("kind", pa.string()),
    ]
)
_BATCH = 50_000
# By the end of the file's name, which is what `buddies data build` goes by.
_WRITERS = {".parquet": pyarrow.parquet.ParquetWriter, ".csv": pyarrow.csv.CSVWriter}


class UnknownForm(ValueError):
    """The name of a file says neither Parquet nor CSV."""


def export_follows(url: str, path: Path) -> int:
    """Write user_id, playlist_id, at (UTC), weight (1), kind (like or dislike) as Parquet or CSV; the number of rows.

    path: ends in .parquet or .csv, else UnknownForm. One row per user and playlist, by both ids. The file is replaced
    when it is complete. psycopg.Error, OSError.
    """
    write_to = _WRITERS.get(path.suffix.lower())
    if write_to is None:
        raise UnknownForm(f"{path}: the name must end in .parquet or .csv")
    scratch = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        with (
            psycopg.connect(url, connect_timeout=5) as connection,
            write_to(scratch, _SCHEMA) as writer,
        ):
            if is_current(connection):
                # Named: rows stay with the server until they are asked for.
                with connection.cursor(name="follows") as cursor:
                    cursor.execute(_READ)
                    while rows := cursor.fetchmany(_BATCH):
                        writer.write_table(_table(rows))
                        count += len(rows)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return count


def _table(rows: list[tuple[Any, ...]]) -> pa.Table:
    users, playlists, times, scores = zip(*rows, strict=True)
    kinds = ["like" if score > 0 else "dislike" for score in scores]
    columns = (users, playlists, times, [1.0] * len(rows), kinds)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], _SCHEMA)
