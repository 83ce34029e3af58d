"""Rows of a CSV table: a broken record costs its own line, and no other one."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from spotify_buddies.trainer.dataset.errors import SKIP, DataError, Skipped
from spotify_buddies.trainer.dataset.reading.files import text_lines
from spotify_buddies.trainer.dataset.reading.tables.columns import normal, pick
from spotify_buddies.trainer.dataset.reading.tables.parts import Part

if TYPE_CHECKING:
    from _csv import Reader as CsvReader  # what csv.reader makes; it has no public name

Row = tuple[str, tuple[str, ...]]

_DELIMITERS = ",;\t|"
_SEPARATOR = re.compile(r"sep=([,;|\t])\s*", re.IGNORECASE)


def csv_part_rows(
    table: Path, part: Part, required: Sequence[str], optional: Sequence[str], skipped: Skipped
) -> Generator[Row, None, int]:
    """Rows of one CSV file with a header; see rows.table_rows. Returns their number.

    Fields stand between commas, semicolons, tabs or bars, whichever makes the header hold the required columns; Excel's
    line sep=; decides too. Blanks around quotes are no part of a field. Lines without anything in them are passed over.
    """
    text = _Text(text_lines(part.path, skipped))
    delimiter = text.delimiter([name for name in required if name not in part.columns])
    header: list[str] = []
    take: Callable[[list[str]], tuple[str, ...]] = tuple
    again: tuple[tuple[str, ...], ...] = ()
    rows, prefix = 0, part.place("line ")
    for number, fields in _records(table, part, text, delimiter, header, skipped):
        if not header:
            header += fields
            take = _taker(table, part, number, header, required, optional, skipped)
            # Of the second one the file began with a byte order mark, too.
            again = (take([*header, ""]), take(["\ufeff" + header[0], *header[1:], ""]))
            continue
        fields.append("")  # what a column that is missing takes
        taken = take(fields)
        if taken in again:
            problem = "the header again, as where files were joined"
            skipped.line(DataError(str(table), f"{prefix}{number:,}", problem, SKIP))
        elif taken[0] or any(map(str.strip, fields)):
            rows += 1
            yield f"{prefix}{number:,}", taken
    return rows


@dataclass
class _Text:
    """Lines, of which those of the record that is being read can be taken back. before: lines before that record."""

    lines: Iterator[str]
    back: deque[str] = field(default_factory=deque)
    held: list[str] = field(default_factory=list)
    before: int = 0

    def feed(self) -> Iterator[str]:
        """The lines that were taken back, then those to come."""
        held = self.held
        while self.back:
            held.append(self.back.popleft())
            yield held[-1]
        for line in self.lines:
            held.append(line)
            yield line

    def go_on(self) -> None:
        """Take the lines of the record for read."""
        self.before += len(self.held)
        self.held.clear()

    def drop_line(self) -> None:
        """Take the record's first line for read, and the others back: what looked like a record may hold many."""
        self.before += 1
        self.back.extendleft(reversed(self.held[1:]))
        self.held.clear()

    def blank_last(self) -> int:
        """Make nothing of the last one of several lines; the number of lines that are bad."""
        if len(self.held) == 1:
            return 1
        self.held[-1] = "\n"
        return 2

    def delimiter(self, required: Sequence[str]) -> str:
        """What stands between the fields, judged by the header, which stays to be read."""
        for line in self.feed():
            if chosen := _SEPARATOR.fullmatch(line):
                self.go_on()
                return chosen[1]
            if line.strip():
                break
        found = next((sign for sign in _DELIMITERS if self._holds(required, sign)), ",")
        self.back.extendleft(reversed(self.held))
        self.held.clear()
        return found

    def _holds(self, required: Sequence[str], delimiter: str) -> bool:
        line = self.held[-1] if self.held else ""
        try:
            fields = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:
            return False
        return set(map(normal, required)) <= set(map(normal, fields))


def _records(
    table: Path, part: Part, text: _Text, delimiter: str, header: Sequence[str], skipped: Skipped
) -> Iterator[tuple[int, list[str]]]:
    """The line where each record begins, and its fields: as many as the header has. A blank record is passed over.

    A quote that is out of place may make one record of many lines. So where one breaks, only its first line is bad,
    and reading goes on behind that line; where it has too many or too few fields, also the one where the quote closes.
    """
    reader = _reader(text.feed(), delimiter)
    while True:
        lines = 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"broken CSV ({error})"
            fields = _mended(text.held[0], delimiter, len(header))
        else:
            problem = ""
            if header and len(fields) != len(header):
                fields, problem = _fitting(fields, len(header), len(text.held))
                lines = text.blank_last() if problem else 1
        if problem:
            if fields:
                yield text.before + 1, fields
            else:
                error_at = part.place(f"line {text.before + 1:,}")
                skipped.line(DataError(str(table), error_at, problem, SKIP), lines)
            text.drop_line()
            reader = _reader(text.feed(), delimiter)
            continue
        number = text.before + 1
        text.go_on()
        if fields:
            yield number, fields


def _fitting(fields: list[str], width: int, lines: int) -> tuple[list[str], str]:
    """The fields of a record of another width, none for a blank one; and what is wrong where they do not fit."""
    # Empty fields beyond the header are what a table leaves behind that was wider once.
    if not any(map(str.strip, fields[width:])) and len(fields) > width:
        return fields[:width], ""
    if not any(map(str.strip, fields)):
        return [], ""
    over = f" over {lines} lines; is a quote left open?" if lines > 1 else ""
    return [], f"{len(fields)} field{'s' * (len(fields) != 1)} where the header has {width}{over}"


def _reader(lines: Iterator[str], delimiter: str) -> CsvReader:
    # Strict: a quote that never closes is an error, and not one field with the rest of the file.
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _mended(line: str, delimiter: str, width: int) -> list[str]:
    """The fields of a line whose only fault is blanks behind a closing quote, or quotes escaped by backslashes.

    Spark writes the latter. None for any other line.
    """
    closed = re.sub(rf'"[ \t]+(?={re.escape(delimiter)}|[\r\n]*$)', '"', line)
    for text, escape in ((closed, None), (line, "\\")):
        reader = csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True, escapechar=escape)
        try:
            fields = next(reader, [])
        except csv.Error:
            continue
        if fields and (len(fields) == width or not width):
            return fields
    return []


def _taker(
    table: Path,
    part: Part,
    number: int,
    header: list[str],
    required: Sequence[str],
    optional: Sequence[str],
    skipped: Skipped,
) -> Callable[[list[str]], tuple[str, ...]]:
    where = part.place(f"line {number:,}")
    if any("\0" in name for name in header):
        advice = "save it as UTF-8"
        raise DataError(str(table), where, "NUL bytes, as UTF-16 without a byte order mark has them", advice)
    names = [*header, *part.columns]
    picked = pick(table, where, names, required, optional, skipped)
    fixed = {k: part.columns[names[i]] for k, i in enumerate(picked) if i >= len(header)}
    get = itemgetter(*(i if i < len(header) else -1 for i in picked))
    if not fixed and len(picked) > 1:
        return get
    count = range(len(picked))
    return lambda fields: tuple(fixed[k] if k in fixed else fields[picked[k]] for k in count)
