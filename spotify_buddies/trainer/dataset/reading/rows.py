"""Tables with named columns: CSV or Parquet, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.tables.delimited import csv_part_rows
from spotify_buddies.trainer.dataset.reading.tables.parquet import parquet_part_rows
from spotify_buddies.trainer.dataset.reading.tables.parts import parts

Row = tuple[str, tuple[str, ...]]


def table_rows(path: Path, required: Sequence[str], optional: Sequence[str], skipped: Skipped) -> Iterator[Row]:
    """Rows of a CSV or Parquet table: where the row stands, and its required then its optional fields as texts.

    A table is a file or a folder of parts (tables/parts.py). A missing value or optional column is an empty text. Rows
    that cannot be read go to `skipped`, and reading goes on behind them; so does a file whose packing is broken, which
    ends there. Columns that nothing reads are noted in `skipped`. DataError: no row, or a required column is missing,
    stands twice, or is of a type that has no text.
    """
    read = parquet_part_rows if ".parquet" in path.suffixes else csv_part_rows
    rows, broken = 0, skipped.files + skipped.lines
    for part in parts(path):
        rows += yield from read(path, part, required, optional, skipped)
    if not rows and skipped.files + skipped.lines == broken:
        where = "byte 0" if path.is_file() and not path.stat().st_size else ""
        raise DataError(str(path), where, "no rows in the file", "is this the right file?")


def csv_rows(path: Path, required: Sequence[str], optional: Sequence[str], skipped: Skipped) -> Iterator[Row]:
    """Rows of a CSV table, whatever its name; see table_rows."""
    return table_rows(path, required, optional, skipped)
