"""Rows of a Parquet table: a group of rows that cannot be read costs those rows, and no other ones."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spotify_buddies.trainer.dataset.errors import SKIP, DataError, Skipped
from spotify_buddies.trainer.dataset.reading.tables.columns import pick
from spotify_buddies.trainer.dataset.reading.tables.parts import Part
from spotify_buddies.trainer.dataset.reading.tables.texts import Texts, readable, texts

Row = tuple[str, tuple[str, ...]]

_BATCH_ROWS = 65_536
_ARTISTS = ("artist", "artist_name")
_TIMES = ("at", "time", "timestamp", "added_at", "created_at", "played_at")
# Names and texts in the file's own description may be no UTF-8 either.
_BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)


def parquet_part_rows(
    table: Path, part: Part, required: Sequence[str], optional: Sequence[str], skipped: Skipped
) -> Generator[Row, None, int]:
    """Rows of one Parquet file; see rows.table_rows. Returns their number.

    DataError: also a required or optional column whose type is none that texts.readable knows.
    """
    try:
        file = pq.ParquetFile(part.path)
        reading = _Reading(table, part, file, file.schema_arrow, (*required, *optional), skipped)
    except _BROKEN as error:
        problem = f"not a Parquet file ({error})"
        skipped.file(DataError(str(table), part.place("row 0"), problem, "is this the right file?"))
        return 0
    with file:
        reading.choose(required, optional)
        return (yield from reading.rows())


@dataclass
class _Reading:
    """columns: the name in the file of each column that is wanted; None: a folder names it, or it is missing."""

    table: Path
    part: Part
    file: pq.ParquetFile
    schema: pa.Schema
    wanted: tuple[str, ...]
    skipped: Skipped
    columns: tuple[str | None, ...] = ()
    fixed: tuple[str, ...] = ()

    def choose(self, required: Sequence[str], optional: Sequence[str]) -> None:
        names, below = self.schema.names, list(self.part.columns)
        picked = pick(self.table, self.part.place("schema"), [*names, *below], required, optional, self.skipped)
        self.columns = tuple(names[i] if 0 <= i < len(names) else None for i in picked)
        self.fixed = tuple(self.part.columns[below[i - len(names)]] if i >= len(names) else "" for i in picked)
        for name, i in zip(self.wanted, picked, strict=True):
            if not 0 <= i < len(names):
                continue
            kind = self.schema.types[i]
            if not readable(kind, artist=name in _ARTISTS, time=name in _TIMES):
                problem = f"column {names[i]} is of type {kind}, which has no text"
                advice = "write texts or whole numbers" + (", or lists of texts" if name in _ARTISTS else "")
                raise DataError(str(self.table), self.part.place(f"schema, column {i + 1}"), problem, advice)

    def rows(self) -> Generator[Row, None, int]:
        row, good = 0, 0
        for group in range(self.file.num_row_groups):
            end = row + self.file.metadata.row_group(group).num_rows
            try:
                # In batches, and only these columns: a file may be larger than the memory.
                names = list(dict.fromkeys(name for name in self.columns if name is not None))
                for batch in self.file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=names):
                    good += yield from self._batch(batch, row)
                    row += batch.num_rows
            except _BROKEN as error:
                where = self.part.place(f"row {row + 1:,} to {end:,}")
                self.skipped.line(
                    DataError(str(self.table), where, f"broken Parquet ({error})", SKIP), max(end - row, 1)
                )
            row = end
        return good

    def _batch(self, batch: pa.RecordBatch, before: int) -> Generator[Row, None, int]:
        columns = [
            Texts([fixed] * batch.num_rows) if name is None else texts(batch.column(name))
            for name, fixed in zip(self.columns, self.fixed, strict=True)
        ]
        rows = zip(*(column.values for column in columns), strict=True)
        prefix = self.part.place("row ")
        faults = {row for column in columns for row in column.faults}
        if not faults:
            for row, values in enumerate(rows, before + 1):
                yield f"{prefix}{row:,}", values
            return len(columns[0].values)
        for row, values in enumerate(rows):
            if row in faults:
                problem = next(self._faults(columns, row))
                self.skipped.line(DataError(str(self.table), f"{prefix}{before + row + 1:,}", problem, SKIP))
            else:
                yield f"{prefix}{before + row + 1:,}", values
        return len(columns[0].values) - len(faults)

    def _faults(self, columns: Sequence[Texts], row: int) -> Iterator[str]:
        for name, column in zip(self.columns, columns, strict=True):
            if row in column.faults:
                kind = self.schema.field(name).type
                yield f"the {name} (of type {kind}) {column.faults[row]}"
