"""Names of the listening data's songs: unique_tracks.txt or song_data.csv, and the pairs that are known to be wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from spotify_buddies.trainer.dataset.errors import SKIP, DataError, Skipped
from spotify_buddies.trainer.dataset.reading.files import text_lines
from spotify_buddies.trainer.dataset.reading.intern import clean
from spotify_buddies.trainer.dataset.reading.rows import csv_rows
from spotify_buddies.trainer.dataset.reading.values import first_artist

_BETWEEN = "<SEP>"
_MISMATCH = re.compile(r"<(SO\w+) (TR\w+)>")


@dataclass
class NamedSongs:
    """Names by song id: (title, artist). lines: names read; again: further names of a song that has one already."""

    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    lines: int = 0
    again: int = 0
    nameless: int = 0
    mismatched: int = 0


def read_song_names(path: Path, wanted: set[str], mismatches: set[tuple[str, str]], skipped: Skipped) -> NamedSongs:
    """Read the names of the `wanted` song ids; the first name of a song stands.

    mismatches are (song, track) pairs whose name is not the song's. song_data.csv does not say which track a name is
    of, so there every song of such a pair stays without a name. A song whose title or artist is empty has no name.
    Malformed lines and files that break go to `skipped`. DataError: nothing in the file.
    """
    result, broken = NamedSongs(), skipped.files
    table = path.name.startswith("song_data.csv")
    wrong_songs = {song for song, _ in mismatches} if table else set()
    for song, track, title, artist in _song_data(path, skipped) if table else _unique_tracks(path, skipped):
        result.lines += 1
        # Most lines of the file name songs that nobody listens to: checked first, before names are cleaned.
        if song not in wanted:
            continue
        if song in wrong_songs or (song, track) in mismatches:
            result.mismatched += 1
        elif not (clean(title) and clean(artist)):
            result.nameless += 1
        elif song in result.names:
            result.again += 1
        else:
            result.names[song] = (clean(title), clean(artist))
    if not result.lines and skipped.files == broken:
        raise DataError(str(path), "byte 0", "no song names in the file", "is this the right file?")
    return result


def read_mismatches(path: Path, skipped: Skipped) -> set[tuple[str, str]]:
    """The (song, track) pairs of sid_mismatches.txt: lines like `ERROR: <SO.. TR..> artist - title != artist - title`.

    A line without such a pair goes to `skipped`. DataError: nothing in the file.
    """
    pairs: set[tuple[str, str]] = set()
    broken = skipped.files
    for number, line in enumerate(text_lines(path, skipped), 1):
        pair = _MISMATCH.search(line)
        if pair:
            pairs.add((pair[1], pair[2]))
        elif line.strip():
            skipped.line(DataError(str(path), f"line {number:,}", "no pair <SO.. TR..> of song and track", SKIP))
    if not pairs and skipped.files == broken:
        raise DataError(str(path), "byte 0", "no mismatched pairs in the file", "leave the file out if there are none")
    return pairs


def _unique_tracks(path: Path, skipped: Skipped) -> Iterator[tuple[str, str, str, str]]:
    for number, line in enumerate(text_lines(path, skipped), 1):
        fields = line.rstrip("\r\n").split(_BETWEEN, 3)
        if len(fields) == 4:
            yield fields[1].strip(), fields[0].strip(), fields[3], fields[2]
        elif line.strip():
            problem = f"{len(fields)} fields where track, song, artist and title should stand between {_BETWEEN}"
            skipped.line(DataError(str(path), f"line {number:,}", problem, SKIP))


def _song_data(path: Path, skipped: Skipped) -> Iterator[tuple[str, str, str, str]]:
    for _, (song, title, artist) in csv_rows(path, ("song_id", "title", "artist_name"), (), skipped):
        yield song.strip(), "", title, first_artist(artist)
