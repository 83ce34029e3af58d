"""Last.fm's scrobbles as CSV: of lastfm-to-csv, without a header, and of tools that write a header with `uts`."""

from __future__ import annotations

import re
from pathlib import Path

from spotify_buddies.trainer.dataset.reading.exports.collect import Collector
from spotify_buddies.trainer.dataset.reading.exports.content import csv_records, text_of

_DATE = re.compile(r"\d{1,2} [A-Z][a-z]{2} \d{4},? \d{1,2}:\d{2}|\d{9,13}|")
_TITLES = ("track", "track_name", "title", "name")
_TIMES = ("uts", "utc_time", "date")


def is_lastfm(fields: list[str]) -> bool:
    """Whether a first record is that of a Last.fm file: four fields with a date as the last, or a header."""
    return _columns(fields) is not None or (
        len(fields) == 4 and bool(fields[0] and fields[2]) and bool(_DATE.fullmatch(fields[3].strip()))
    )


def read_lastfm(path: Path, rows: Collector) -> None:
    """Records artist, album, title, date; or columns by their names where there is a header. One record per play."""
    artist, title, width = 0, 2, 4
    for number, (where, fields) in enumerate(csv_records(path, text_of(path))):
        named = _columns(fields) if number == 0 else None
        if named is not None:
            artist, title, width = (*named, len(fields))
        elif len(fields) != width:
            rows.malformed(where, f"{len(fields)} fields where {width} should stand")
        else:
            rows.listen(where, fields[title], fields[artist])


def _columns(fields: list[str]) -> tuple[int, int] | None:
    """Where artist and title stand, None where this is no header."""
    names = [name.strip().strip('"').casefold() for name in fields]
    title = next((names.index(name) for name in _TITLES if name in names), -1)
    if title < 0 or "artist" not in names or not any(name in names for name in _TIMES):
        return None
    return names.index("artist"), title
