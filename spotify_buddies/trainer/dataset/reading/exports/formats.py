"""The formats of exports, and which one a file has: by its name, and where that says little by its first bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.exports import itunes, listenbrainz, m3u, spotify, xspf
from spotify_buddies.trainer.dataset.reading.exports.collect import Read
from spotify_buddies.trainer.dataset.reading.exports.content import csv_records, decoded
from spotify_buddies.trainer.dataset.reading.exports.exportify import is_header, read_exportify
from spotify_buddies.trainer.dataset.reading.exports.lastfm import is_lastfm, read_lastfm

_HEAD_BYTES = 1 << 16
_SPOTIFY, _BRAINZ = "Spotify's account data", "ListenBrainz"


@dataclass(frozen=True)
class Format:
    """One format. name: of its files; holds: whether first bytes are of it, where the name alone does not say so.

    single: the file is one playlist, and gives the playlist its id.
    """

    title: str
    name: re.Pattern[str]
    read: Read
    holds: Callable[[bytes], bool] | None = None
    single: bool = False


def _first_record(test: Callable[[list[str]], bool]) -> Callable[[bytes], bool]:
    def holds(head: bytes) -> bool:
        text = decoded(Path(), head, fallback="latin-1")
        # The last line may be cut short in the middle of a quote.
        whole = text[: text.rfind("\n") + 1] if len(head) == _HEAD_BYTES else text
        try:
            return test(next(csv_records(Path(), whole), ("", []))[1])
        except DataError:
            return False

    return holds


def _word(*words: bytes) -> Callable[[bytes], bool]:
    return lambda head: all(word in head for word in words)


def _named(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# Names that say it all come first. Add a format here.
FORMATS = (
    Format(
        "Spotify's extended streaming history",
        _named(r"(Streaming_History_Audio_.*|endsong_\d+)\.json"),
        spotify.read_extended,
    ),
    Format(
        f"{_SPOTIFY}, listens", _named(r"StreamingHistory(_(music|podcast|audiobook)_)?\d*\.json"), spotify.read_history
    ),
    Format(f"{_SPOTIFY}, saved songs", _named(r"YourLibrary\d*\.json"), spotify.read_library),
    Format(f"{_SPOTIFY}, playlists", _named(r"Playlist\d*\.json"), spotify.read_playlists, _word(b'"playlists"')),
    Format("Exportify", _named(r".*\.csv"), read_exportify, _first_record(is_header), single=True),
    Format("Last.fm CSV", _named(r".*\.csv"), read_lastfm, _first_record(is_lastfm)),
    Format(f"{_BRAINZ}, listens of a month", _named(r"\d{1,2}\.jsonl"), listenbrainz.read_lines),
    Format(f"{_BRAINZ}, listens", _named(r".*\.jsonl"), listenbrainz.read_lines, _word(b'"track_metadata"')),
    Format(f"{_BRAINZ}, listens", _named(r".*\.json"), listenbrainz.read_list, _word(b'"track_metadata"')),
    Format("M3U", _named(r".*\.m3u8?"), m3u.read_m3u, single=True),
    Format("XSPF", _named(r".*\.xspf"), xspf.read_xspf, single=True),
    Format("JSPF", _named(r".*\.jspf"), xspf.read_jspf, single=True),
    Format("JSPF", _named(r".*\.json"), xspf.read_jspf, _word(b'"playlist"', b'"track"'), single=True),
    Format("iTunes or Apple Music library", _named(r".*\.xml"), itunes.read_itunes, _word(b"<plist")),
)

# Files of the same exports that hold no songs heard, or other things about a person: named, and never opened.
_WITHOUT_SONGS = _named(
    r"StreamingHistory_video_\d+\.json|Streaming_History_Video_.*\.json|Userdata\.json"
    r"|Follow\.json|Payments\.json|Inferences\.json|Identity\.json|Identifiers\.json|SearchQueries\.json|Marquee\.json"
    r"|FamilyPlan\.json|DuoNewFamily\.json|Wrapped\d*\.json|YourSoundCapsule\.json|Podcast\w+\.json|AddedToCollection\.json"
    r"|feedback\.jsonl|pinned_recording\.jsonl|user\.json|ReadMeFirst.*|Read_Me_First.*"
)
_PACKED = (".zip", ".rar", ".7z", ".tar", ".tgz")


WITHOUT_SONGS = "a part of an export that holds no listens and no playlists"


def recognise(path: Path) -> Format | str:
    """The format of a file, or in words why it has none. At most its first 64 KiB are read, and those of few files."""
    if _WITHOUT_SONGS.fullmatch(path.name):
        return WITHOUT_SONGS
    if path.suffix.lower() in _PACKED:
        return "packed; unpack it first"
    head: bytes | None = None
    for kind in FORMATS:
        if not kind.name.fullmatch(path.name):
            continue
        if kind.holds is None:
            return kind
        head = _head(path) if head is None else head
        if kind.holds(head):
            return kind
    if head is None:
        return "no known format"
    return "no known format" if head.strip() else "empty"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)
