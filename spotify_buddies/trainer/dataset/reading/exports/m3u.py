"""M3U and M3U8: names of files, each with "#EXTINF:seconds,Artist - Title" before it where the player knew them."""

from __future__ import annotations

import re
from pathlib import Path

from spotify_buddies.trainer.dataset.errors import SKIP, DataError
from spotify_buddies.trainer.dataset.reading.exports.collect import Collector
from spotify_buddies.trainer.dataset.reading.exports.content import song_of, song_of_file, text_of

_INFO = re.compile(r'#EXTINF:\s*[-\d.]*(?:\s+[\w-]+="[^"]*")*\s*,?(.*)')


def read_m3u(path: Path, rows: Collector) -> None:
    """One playlist, called as #PLAYLIST says or else as the file is. The files that it names are never opened.

    A .m3u that is not UTF-8 is read as Windows-1252, in which Windows players write it.
    """
    text = text_of(path, fallback="" if ".m3u8" in path.name.lower() else "cp1252")
    if "#EXT-X-" in text:
        raise DataError(str(path), "", "a list of pieces of one stream (HLS), not of songs", SKIP)
    lines = text.splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("#PLAYLIST:"))
    rows.playlist(next(named, "") or re.split(r"\.m3u8?", path.name, flags=re.IGNORECASE)[0])
    info = artist = ""
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if match := _INFO.match(line):
            info = match[1].strip()
        elif line.startswith("#EXTART:"):
            artist = line.partition(":")[2].strip()
        elif line and not line.startswith("#"):
            rows.track(f"line {number:,}", *_song(info, artist, line))
            info = artist = ""


def _song(info: str, artist: str, location: str) -> tuple[str, str]:
    """The first of what the lines say that names title and artist both."""
    if artist and info:
        return info.removeprefix(f"{artist} - "), artist
    from_info, from_file = song_of(info), song_of_file(location)
    return from_info if all(from_info) else from_file
