"""ListenBrainz: one JSON list of listens, or listens/YYYY/MM.jsonl with one listen a line."""

from __future__ import annotations

import json
from pathlib import Path

import orjson

from spotify_buddies.trainer.dataset.errors import Skipped
from spotify_buddies.trainer.dataset.reading.exports.collect import Collector
from spotify_buddies.trainer.dataset.reading.exports.content import json_list
from spotify_buddies.trainer.dataset.reading.files import text_lines


def read_list(path: Path, rows: Collector) -> None:
    """A list of listens; see _read_listen."""
    for number, value in enumerate(json_list(path), 1):
        _read_listen(f"item {number:,}", value, rows)


def read_lines(path: Path, rows: Collector) -> None:
    """A listen a line, read line by line. A line that is not JSON is malformed."""
    # A month without a listen is an empty file and no mistake.
    if not path.stat().st_size:
        return
    for number, line in enumerate(text_lines(path, Skipped()), 1):
        where = f"line {number:,}"
        if not line.strip():
            continue
        try:
            value = _parsed(line)
        except (ValueError, RecursionError) as error:
            rows.malformed(where, f"broken JSON ({getattr(error, 'msg', 'nested too deeply')})")
            continue
        _read_listen(where, value, rows)


def _parsed(line: str) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line, strict=False)


def _read_listen(where: str, value: object, rows: Collector) -> None:
    """{"listened_at", "track_metadata": {"track_name", "artist_name", ..}, ..}."""
    listen = rows.item(where, value)
    if listen is None:
        return
    metadata = listen.get("track_metadata")
    if not isinstance(metadata, dict):
        rows.malformed(where, "no track_metadata")
        return
    rows.listen(where, metadata.get("track_name"), metadata.get("artist_name"))
