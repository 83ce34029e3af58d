"""XSPF, the XML of VLC and others (https://xspf.org/spec), and JSPF, the same as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spotify_buddies.trainer.dataset.errors import SKIP, DataError
from spotify_buddies.trainer.dataset.reading.exports.collect import Collector
from spotify_buddies.trainer.dataset.reading.exports.content import json_of, song_of_file
from spotify_buddies.trainer.dataset.reading.exports.xml_events import xml_events

_TRACK, _TITLE = ["playlist", "trackList", "track"], ["playlist", "title"]


def read_xspf(path: Path, rows: Collector) -> None:
    """<playlist><title/><trackList><track><title/><creator/><location/></track></trackList></playlist>."""
    inside: list[str] = []
    track: dict[str, str] = {}
    rows.playlist(path.stem)
    for kind, name, text, line in xml_events(path):
        if kind == "start":
            inside.append(name)
            if inside[0] != "playlist":
                raise DataError(str(path), f"line {line:,}", f"not XSPF: it begins with <{name}>", SKIP)
            continue
        if inside == _TITLE and text:
            rows.titles[-1] = text
        elif inside == _TRACK:
            rows.track(f"line {line:,}", *_song(track))
            track = {}
        elif inside[:-1] == _TRACK:
            track.setdefault(name, text)  # the first of several locations
        inside.pop()


def read_jspf(path: Path, rows: Collector) -> None:
    """{"playlist": {"title", "track": [{"title", "creator", "location"}, ..]}}."""
    content = json_of(path)
    playlist = content.get("playlist") if isinstance(content, dict) else None
    if not isinstance(playlist, dict) or not isinstance(playlist.get("track", []), list):
        raise DataError(str(path), "field 'playlist'", "not JSPF: no playlist with a list of tracks", SKIP)
    title = playlist.get("title")
    rows.playlist(title if isinstance(title, str) and title.strip() else path.stem)
    for number, value in enumerate(playlist.get("track", []), 1):
        where = f"track {number:,}"
        track = rows.item(where, value)
        if track is not None:
            rows.track(where, *_song(track))


def _song(track: dict[str, Any]) -> tuple[Any, Any]:
    title, artist, location = track.get("title"), track.get("creator"), track.get("location")
    if isinstance(location, list):
        location = location[0] if location else None
    if not title and not artist and isinstance(location, str):
        return song_of_file(location)
    return title, artist
