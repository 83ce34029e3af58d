"""Taste Profile triplets: user, song and play count on a line, between tabs."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.text.ids import ID_BYTES, are_ids, fault, may_hold_refused
from spotify_buddies.trainer.dataset.errors import SKIP, DataError, Skipped
from spotify_buddies.trainer.dataset.reading.codes.table import Codes, cut
from spotify_buddies.trainer.dataset.reading.files import line_blocks
from spotify_buddies.trainer.dataset.reading.intern import Ids

Array = npt.NDArray[Any]

_SCHEMA = {"user": pl.String, "song": pl.String, "plays": pl.Int64}
# Small blocks stay in the processor's cache from one look at them to the next.
_BLOCK_BYTES = 1 << 22
_COUNT = re.compile(rb"(\d{1,18})(\.0*)?")
# No part of an id where they stand around it. Other blanks count as control characters there.
_BLANKS = " \u00a0\u3000"


def read_triplets(path: Path, users: Ids, songs: Ids, skipped: Skipped) -> Iterator[tuple[Array, Array, int]]:
    """Read the file in blocks: codes of users and of songs, int32 (listens,) each, and the block's bytes.

    New ids are added to `users` and `songs`. A line without three fields, with something that is no id
    (foundation/text/ids.py) or with a play count that is not a whole number goes to `skipped` with its number. Blank
    lines are passed over, plays of 0 are no listens. A file whose packing breaks goes to `skipped` and ends there.
    DataError: nothing in the file.
    """
    number, broken = 0, skipped.files
    empty = True
    codes = Codes(users, songs)
    # While the ids of a plain block are looked up, the next one is read and cut.
    ahead: deque[tuple[Future[tuple[Array, Array]], int]] = deque()

    def looked_up(left: int) -> Iterator[tuple[Array, Array, int]]:
        while len(ahead) > left:
            found, size = ahead.popleft()
            yield *found.result(), size

    with ThreadPoolExecutor(1) as pool:
        for block in line_blocks(path, skipped, _BLOCK_BYTES):
            if (plain := cut(block)) is not None:
                empty, number = False, number + plain.lines
                ahead.append((pool.submit(codes.of, plain), len(block)))
                yield from looked_up(1)
                continue
            # Others may bring ids that are new, too: after those before them.
            yield from looked_up(0)
            table = _parse(block)
            if table is None:
                table = _parse(b"".join(_good_lines(path, block, number, skipped.line)))
            number += block.count(b"\n")
            if table is None:
                raise DataError(str(path), f"before line {number:,}", "lines that cannot be read", "repair the file")
            if not table.height:
                continue
            empty = False
            played = table.filter(pl.col("plays") > 0)
            yield users.codes(played["user"]), songs.codes(played["song"]), len(block)
        yield from looked_up(0)
    if empty and skipped.files == broken:
        raise DataError(str(path), "byte 0", "the file is empty", "expected lines of user<TAB>song<TAB>plays")


def _parse(block: bytes) -> pl.DataFrame | None:
    """A block as a table, or None where any of its lines is off; parsing by lines then finds out which."""
    if not block.strip():
        return pl.DataFrame(schema=_SCHEMA)
    try:
        table = pl.read_csv(
            block, separator="\t", has_header=False, quote_char=None, schema=_SCHEMA, truncate_ragged_lines=False
        )
    except (pl.exceptions.ComputeError, pl.exceptions.NoDataError, pl.exceptions.SchemaError):
        return None
    if b" " in block or not block.isascii():
        table = table.with_columns(pl.col("user", "song").str.strip_chars(_BLANKS))
    ends = block.count(b"\n")
    # Fewer rows than lines: blank lines, which are harmless, or lines that the parser took for something else.
    lines = ends + (not block.endswith(b"\n"))
    whole = table.height == lines and not any(table.null_count().row(0)) and not table["plays"].lt(0).any()
    return table if whole and _holds_ids(table, block, ends) else None


def _holds_ids(table: pl.DataFrame, block: bytes, ends: int) -> bool:
    """Whether every user and song of `ends` lines is an id. Nearly always the bytes show it, at next to no cost."""
    returns = block.count(b"\r")
    if returns and returns != block.count(b"\r\n"):
        return False  # the parser drops such ones from the end of a field
    controls = np.count_nonzero(np.frombuffer(block, np.uint8) < 0x20)
    sizes = pl.col("user", "song").str.len_bytes()
    least, most = min(table.select(sizes.min()).row(0)), max(table.select(sizes.max()).row(0))
    if (
        controls == 2 * table.height + ends + returns
        and least >= 1
        and most <= ID_BYTES
        and not may_hold_refused(block)
    ):
        return True
    return all(are_ids(table[name].unique().to_list()) for name in ("user", "song"))


def _good_lines(path: Path, block: bytes, before: int, bad: Callable[[DataError], None]) -> Iterator[bytes]:
    for number, line in enumerate(block.split(b"\n"), before + 1):
        text = line.removesuffix(b"\r")
        if not text.strip():
            continue
        problem = _problem(text)
        if problem:
            bad(DataError(str(path), f"line {number:,}", problem, SKIP))
        else:
            user, song, plays = text.split(b"\t")
            yield b"\t".join((user, song, plays.strip().partition(b".")[0])) + b"\n"


def _problem(line: bytes) -> str:
    fields = line.split(b"\t")
    if len(fields) != 3:
        return f"{len(fields)} field{'s' * (len(fields) != 1)} where user, song and plays should stand between tabs"
    if not fields[0].strip() or not fields[1].strip():
        return "the user or the song is empty"
    if not _COUNT.fullmatch(fields[2].strip()):
        return f"the play count {fields[2].decode(errors='replace')!r} is not a whole number"
    try:
        user, song, _ = line.decode().split("\t")
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1:,} of the line is not UTF-8 text"
    named = (("user", user.strip(_BLANKS)), ("song", song.strip(_BLANKS)))
    return next((f"the {name} {problem}" for name, value in named if (problem := fault(value))), "")
