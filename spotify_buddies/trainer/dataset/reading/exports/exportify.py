"""Exportify: a CSV file a playlist, in the column names of its versions."""

from __future__ import annotations

import re
from pathlib import Path

from spotify_buddies.trainer.dataset.errors import SKIP, DataError
from spotify_buddies.trainer.dataset.reading.exports.collect import Collector
from spotify_buddies.trainer.dataset.reading.exports.content import csv_records, text_of

_IDS = ("Track URI", "Spotify ID", "Spotify URI")
_TITLE, _ARTISTS = ("Track Name",), ("Artist Name(s)", "Artist Name")
_ARTIST_IDS, _ALBUM_ARTISTS = ("Artist URI(s)", "Artist IDs"), ("Album Artist Name(s)",)
_EPISODE = "spotify:episode:"


def is_header(fields: list[str]) -> bool:
    """Whether these are the columns of an Exportify file."""
    names = {name.strip() for name in fields}
    return all(names & set(spellings) for spellings in (_IDS, _TITLE, _ARTISTS))


def read_exportify(path: Path, rows: Collector) -> None:
    """The playlist is called as the file is, underscores read as the spaces that Exportify wrote them for."""
    records = csv_records(path, text_of(path))
    where, header = next(records, ("line 1", []))
    if not is_header(header):
        raise DataError(str(path), where, "no columns Track URI, Track Name and Artist Name(s)", SKIP)
    columns = {name.strip(): place for place, name in enumerate(header)}
    rows.playlist(path.name.split(".csv")[0].replace("_", " ").strip())
    for where, fields in records:
        if len(fields) != len(header):
            rows.malformed(where, f"{len(fields)} fields where the header has {len(header)}")
        elif _value(columns, fields, _IDS).startswith(_EPISODE):
            rows.drop(where, "podcasts and audiobooks")
        else:
            rows.track(where, _value(columns, fields, _TITLE), _first_artist(columns, fields))


def _value(columns: dict[str, int], fields: list[str], spellings: tuple[str, ...]) -> str:
    return next((fields[columns[name]].strip() for name in spellings if name in columns), "")


def _first_artist(columns: dict[str, int], fields: list[str]) -> str:
    """The first of several artists, whom listening data names too.

    Versions differ in what stands between artists (";", "," and ", "), and a comma may belong to a name. So whole
    names are looked for first: one artist id is one name, and the album's artist is mostly the first one.
    """
    artists = _value(columns, fields, _ARTISTS)
    if ";" in artists:
        return artists.split(";")[0].strip()
    ids, album = _value(columns, fields, _ARTIST_IDS), _value(columns, fields, _ALBUM_ARTISTS)
    if "," not in artists or (ids and "," not in ids):
        return artists
    if album and artists.startswith(album + ","):
        return album
    # "Earth, Wind & Fire" and "Tyler, The Creator" hold a comma and a space; a comma alone stands between two names.
    alone = re.split(r",(?! )", artists, maxsplit=1)
    if len(alone) == 2:
        return alone[0].strip()
    return re.split(r", (?!the\b|an?d?\b|[^,]*&)", artists, maxsplit=1, flags=re.IGNORECASE)[0].strip()
