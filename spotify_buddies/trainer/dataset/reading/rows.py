"""Tables with named columns: CSV or Parquet, row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from spotify_buddies.trainer.dataset.errors import SKIP, DataError, Skipped
from spotify_buddies.trainer.dataset.reading.files import text_lines

if TYPE_CHECKING:
    from _csv import Reader as CsvReader  # what csv.reader makes; it has no public name

_BATCH_ROWS = 65_536
Row = tuple[str, tuple[str, ...]]


def table_rows(path: Path, required: Sequence[str], optional: Sequence[str], skipped: Skipped) -> Iterator[Row]:
    """Rows of a CSV or Parquet table: where the row stands, and its required then its optional fields as texts.

    A missing value or optional column is an empty text. Rows that cannot be read go to `skipped`; so does a file that
    breaks (packing, quotes, Parquet), and if that lets it pass it ends there. DataError: no row, or a required column
    is missing.
    """
    rows = parquet_rows if ".parquet" in path.suffixes else csv_rows
    return rows(path, required, optional, skipped)


def csv_rows(path: Path, required: Sequence[str], optional: Sequence[str], skipped: Skipped) -> Iterator[Row]:
    """Rows of a CSV file with a header; see table_rows."""
    # Strict: a quote that never closes is an error, and not one field with the rest of the file.
    reader = csv.reader(text_lines(path, skipped), strict=True)
    header: list[str] | None = None
    picked: list[int] = []
    rows, broken = 0, skipped.files
    for where, fields in _records(path, reader, skipped):
        if header is None:
            header = [name.strip() for name in fields]
            picked = _pick(path, header, required, optional)
        elif len(fields) == len(header):
            rows += 1
            yield where, tuple(fields[i] if i >= 0 else "" for i in picked)
        else:
            problem = f"{len(fields)} fields where the header has {len(header)}"
            skipped.line(DataError(str(path), where, problem, SKIP))
    if not rows and skipped.files == broken:
        raise DataError(str(path), "byte 0" if header is None else "", "no rows in the file", "is this the right file?")


def _records(path: Path, reader: CsvReader, skipped: Skipped) -> Iterator[tuple[str, list[str]]]:
    """Where each record begins, and its fields; blank ones are passed over. The file ends where a quote is broken."""
    while True:
        # Where it begins: with a line end in quotes a record takes several lines.
        where = f"line {reader.line_num + 1:,}"
        try:
            fields = next(reader, None)
        except csv.Error as error:
            skipped.file(DataError(str(path), where, f"broken CSV ({error})", SKIP))
            return
        if fields is None:
            return
        if fields:
            yield where, fields


def parquet_rows(path: Path, required: Sequence[str], optional: Sequence[str], skipped: Skipped) -> Iterator[Row]:
    """Rows of a Parquet file; see table_rows."""
    row, broken = 0, skipped.files
    try:
        with pq.ParquetFile(path) as file:
            header = file.schema_arrow.names
            picked = _pick(path, header, required, optional)
            columns = [header[i] for i in picked if i >= 0]
            # In batches, and only these columns: a file may be larger than the memory.
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                present = {name: [_text(value) for value in batch.column(name).to_pylist()] for name in columns}
                blank = [""] * batch.num_rows
                fields = [present[header[i]] if i >= 0 else blank for i in picked]
                for values in zip(*fields, strict=True):
                    row += 1
                    yield f"row {row:,}", values
    except (pa.ArrowInvalid, OSError) as error:
        skipped.file(DataError(str(path), f"row {row:,}", f"not a Parquet file ({error})", "is this the right file?"))
    if not row and skipped.files == broken:
        raise DataError(str(path), "", "no rows in the file", "is this the right file?")


def _pick(path: Path, header: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> list[int]:
    missing = [name for name in required if name not in header]
    if missing:
        listed = ", ".join(header[:10])
        problem = f"no column {', '.join(missing)}; the columns are {listed[:200]}"
        raise DataError(str(path), "line 1" if path.suffix != ".parquet" else "schema", problem, "name the columns so")
    return [header.index(name) if name in header else -1 for name in (*required, *optional)]


def _text(value: object) -> str:
    return "" if value is None else str(value)
