"""Which columns of a table are read, and which are not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from spotify_buddies.trainer.dataset.errors import DataError, Skipped

_LISTED = 10


def pick(
    path: Path, where: str, header: Sequence[str], required: Sequence[str], optional: Sequence[str], skipped: Skipped
) -> list[int]:
    """The place of each required, then of each optional column in the header; -1 for an optional one that is missing.

    Names count as equal whatever their case, and with blanks or hyphens for underscores; one that is written exactly so
    goes first. The other columns are noted in `skipped`. DataError: a required column is missing, or one stands twice.
    """
    places = {name: _place(path, where, header, name) for name in (*required, *optional)}
    missing = [name for name in required if places[name] < 0]
    if missing:
        listed = ", ".join(header[:_LISTED])
        problem = f"no column {', '.join(missing)}; the columns are {listed[:200]}"
        raise DataError(str(path), where, problem, "name the columns so")
    taken = set(places.values())
    skipped.columns(path, [name.strip() or f"(column {i + 1})" for i, name in enumerate(header) if i not in taken])
    return list(places.values())


def normal(name: str) -> str:
    """The name of a column as it is compared."""
    return re.sub(r"[\s\-]+", "_", name.replace("\ufeff", "").strip().casefold())


def _place(path: Path, where: str, header: Sequence[str], name: str) -> int:
    found = [i for i, column in enumerate(header) if column.strip() == name]
    found = found or [i for i, column in enumerate(header) if normal(column) == normal(name)]
    if len(found) > 1:
        columns = ", ".join(f"{i + 1}" for i in found)
        raise DataError(str(path), where, f"{len(found)} columns {name} (columns {columns})", "keep one of them")
    return found[0] if found else -1
