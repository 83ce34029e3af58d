"""The library of iTunes and of Apple's Music, as XML: tracks with play counts, and playlists of their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spotify_buddies.trainer.dataset.errors import SKIP, DataError
from spotify_buddies.trainer.dataset.reading.exports.collect import Collector
from spotify_buddies.trainer.dataset.reading.exports.xml_events import xml_events

_NEVER, _SPOKEN = "never played", "podcasts, audiobooks and films"
_OTHER = ("Podcast", "Movie", "TV Show", "Has Video", "Audiobooks", "iTunesU")
# Made by the program, or a folder that repeats what its playlists hold.
_AUTOMATIC = ("Master", "Distinguished Kind", "Folder")

Song = tuple[Any, Any]


def read_itunes(path: Path, rows: Collector) -> None:
    """A track that has been played is a listen; every playlist that the user made is one, smart ones too."""
    songs: dict[object, Song | None] = {}
    for part, value, line in _parts(path):
        if part == "Tracks":
            _read_track(f"line {line:,}", value, songs, rows)
        elif not any(value.get(key) for key in _AUTOMATIC):
            _read_playlist(f"line {line:,}", value, songs, rows)


def _read_track(where: str, track: dict[str, Any], songs: dict[object, Song | None], rows: Collector) -> None:
    spoken = any(track.get(key) for key in _OTHER)
    song = track.get("Name"), track.get("Artist") or track.get("Album Artist")
    songs[track.get("Track ID")] = None if spoken else song
    if spoken:
        rows.drop(where, _SPOKEN)
    elif not track.get("Play Count"):
        rows.drop(where, _NEVER)
    else:
        rows.listen(where, *song)


def _read_playlist(where: str, playlist: dict[str, Any], songs: dict[object, Song | None], rows: Collector) -> None:
    name = playlist.get("Name")
    rows.playlist(name if isinstance(name, str) else "")
    items = playlist.get("Playlist Items")
    for number, item in enumerate(items if isinstance(items, list) else [], 1):
        place = f"playlist at {where}, item {number:,}"
        key = item.get("Track ID") if isinstance(item, dict) else None
        song = songs.get(key)
        if song is not None:
            rows.track(place, *song)
        else:
            rows.drop(place, _SPOKEN if key in songs else "tracks that the library does not hold")


def _parts(path: Path) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Each track and each playlist as a dictionary, with the part that it stands in and its last line.

    The rest of the library is never held at once.
    """
    open_values = _Values()
    inside: list[str] = []
    for kind, name, text, line in xml_events(path):
        if kind == "start":
            inside.append(name)
            if inside[0] != "plist":
                raise DataError(str(path), f"line {line:,}", f"not a music library: it begins with <{name}>", SKIP)
            open_values.begin(name)
            continue
        inside.pop()
        value = open_values.end(name, text)
        part = open_values.part()
        if part and isinstance(value, dict):
            yield part, value, line
        elif not part:
            open_values.keep(name, value)


class _Values:
    """The dictionaries and lists that are open, from the outermost, each with the last key that it named."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._keys: list[str] = []

    def begin(self, name: str) -> None:
        if name in ("dict", "array"):
            self._values.append({} if name == "dict" else [])
            self._keys.append("")

    def end(self, name: str, text: str) -> Any:
        """The value that ends here."""
        if name in ("dict", "array"):
            self._keys.pop()
            return self._values.pop()
        if name in ("true", "false"):
            return name == "true"
        # No number of a library is longer.
        return int(text) if name == "integer" and text.isdigit() and len(text) < 20 else text

    def part(self) -> str:
        """Tracks or Playlists where a whole one of them has just ended, else empty."""
        return self._keys[0] if len(self._values) == 2 and self._keys[0] in ("Tracks", "Playlists") else ""

    def keep(self, name: str, value: Any) -> None:
        """Put a value where it belongs, a key in wait for its value."""
        if not self._values:
            return
        if name == "key":
            self._keys[-1] = value
        elif isinstance(self._values[-1], dict):
            self._values[-1][self._keys[-1]] = value
        else:
            self._values[-1].append(value)
