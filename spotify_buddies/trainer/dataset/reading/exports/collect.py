"""What one export holds: songs heard and playlists, as codes, and what became of its rows."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spotify_buddies.trainer.dataset.errors import SKIP, DataError, Skipped
from spotify_buddies.trainer.dataset.reading.intern import SongNames

SHOWN = 5  # places of one reason that a report names
NAMELESS = "without a title or an artist"


@dataclass
class Left:
    """Rows left out for one reason: how many, and where the first ones stand."""

    count: int = 0
    places: list[str] = field(default_factory=list)

    def add(self, where: str, count: int = 1) -> None:
        """Count a row that stands there, or several from there on."""
        self.count += count
        if len(self.places) < SHOWN:
            self.places.append(where)


@dataclass
class Tally:
    """What became of the rows of a file. dropped: rows that are no songs of the kind wanted; bad: malformed ones."""

    rows: int = 0
    used: int = 0
    dropped: dict[str, Left] = field(default_factory=dict)
    bad: dict[str, Left] = field(default_factory=dict)


class Collector:
    """Takes the rows of one export from the module that reads its format.

    heard: song codes, one per listen. titles: of the playlists, in the order they came; playlists, songs: one entry
    per track, the playlist's number and the song's code. New songs are added to `names`.
    """

    def __init__(self, path: Path, names: SongNames, skipped: Skipped) -> None:
        self.path = path
        self.heard: array[int] = array("i")
        self.titles: list[str] = []
        self.playlists: array[int] = array("i")
        self.songs: array[int] = array("i")
        self.tally = Tally()
        self._names, self._skipped = names, skipped

    def listen(self, where: str, title: object, artist: object) -> None:
        """A song that the user has played; the fields as they stand in the file, None where there is none."""
        song = self._song(where, title, artist)
        if song != SongNames.NONE:
            self.heard.append(song)

    def playlist(self, title: str) -> None:
        """A new playlist, which the tracks after this belong to."""
        self.titles.append(title)

    def track(self, where: str, title: object, artist: object) -> None:
        """A track of the last playlist."""
        song = self._song(where, title, artist)
        if song != SongNames.NONE:
            self.playlists.append(len(self.titles) - 1)
            self.songs.append(song)

    def drop(self, where: str, why: str) -> None:
        """A row that is nothing for us, such as a podcast: counted."""
        self.tally.rows += 1
        self.tally.dropped.setdefault(why, Left()).add(where)

    def malformed(self, where: str, problem: str) -> None:
        """A row of a form that the format has not. DataError: such rows may not be skipped."""
        self.tally.rows += 1
        self.tally.bad.setdefault(problem, Left()).add(where)
        self._skipped.line(DataError(str(self.path), where, problem, SKIP))

    def item(self, where: str, value: object) -> dict[str, Any] | None:
        """A row that should be a JSON object; None, and noted as malformed, where it is something else."""
        if isinstance(value, dict):
            return value
        self.malformed(where, "no JSON object where a row should stand")
        return None

    def _song(self, where: str, title: object, artist: object) -> int:
        for name, value in (("title", title), ("artist", artist)):
            if value is not None and not isinstance(value, str):
                self.malformed(where, f"the {name} is no text")
                return SongNames.NONE
        song = self._names.code(title, artist)  # type: ignore[arg-type]  # checked above, both
        if song == SongNames.NONE:
            self.drop(where, NAMELESS)
        else:
            self.tally.rows += 1
            self.tally.used += 1
        return song


Read = Callable[[Path, Collector], None]
