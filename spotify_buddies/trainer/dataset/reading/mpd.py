"""Slices of the Million Playlist Dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from spotify_buddies.foundation.text.ids import fault
from spotify_buddies.trainer.dataset.errors import SKIP, DataError
from spotify_buddies.trainer.dataset.reading.files import read_whole
from spotify_buddies.trainer.dataset.reading.intern import SongNames, clean


@dataclass
class Slice:
    """The playlists of one slice. lengths: tracks of each; songs: their codes, in the order of the file."""

    ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    followers: list[int | None] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    songs: list[int] = field(default_factory=list)
    nameless_tracks: int = 0


def read_slice(path: Path, names: SongNames) -> Slice:
    """Read one slice; names not seen before are added to `names`.

    DataError names the byte or line where the JSON breaks, or the playlist whose form is not a slice's. Nothing stays
    in `names` then.
    """
    content = _parse(path)
    playlists = content.get("playlists") if isinstance(content, dict) else None
    if not isinstance(playlists, list):
        raise DataError(str(path), "field 'playlists'", "not a slice: no list of playlists", SKIP)
    mark = names.mark()
    result = Slice()
    for number, playlist in enumerate(playlists):
        try:
            _read_playlist(playlist, names, result)
        except _Malformed as error:
            names.rewind(mark)
            where = f"playlist {number:,} of the slice" + (f", track {error.track:,}" if error.track >= 0 else "")
            raise DataError(str(path), where, error.problem, SKIP) from error
    return result


class _Malformed(Exception):
    """A playlist of another form. problem: what is wrong; track: with which of its tracks, -1 for the playlist."""

    def __init__(self, problem: str, track: int = -1) -> None:
        super().__init__(problem, track)
        self.problem, self.track = problem, track


def _read_playlist(playlist: object, names: SongNames, result: Slice) -> None:
    if not isinstance(playlist, dict):
        raise _Malformed(f"{_kind(playlist)} where a playlist should stand")
    for key in ("pid", "tracks"):
        if key not in playlist:
            raise _Malformed(f"no field {key!r}")
    playlist_id, tracks = _id(playlist["pid"]), playlist["tracks"]
    if not isinstance(tracks, list):
        raise _Malformed(f"tracks is {_kind(tracks)}, not a list")
    songs = _codes(tracks, names)
    kept = [code for code in songs if code != SongNames.NONE]
    followers = playlist.get("num_followers")
    result.ids.append(playlist_id)
    result.titles.append(clean(_text(playlist, "name")))
    result.followers.append(followers if isinstance(followers, int) and 0 <= followers < 1 << 31 else None)
    result.lengths.append(len(kept))
    result.songs += kept
    result.nameless_tracks += len(songs) - len(kept)


def _id(pid: object) -> str:
    """A pid as an id. Tables hand whole numbers on as floats, which are exact below 2^53."""
    if isinstance(pid, float) and pid.is_integer() and abs(pid) < 1 << 53:
        pid = int(pid)
    if not isinstance(pid, int | str) or isinstance(pid, bool) or pid == "":
        raise _Malformed(f"pid is {_shown(pid)}, neither a whole number nor a text")
    playlist_id = str(pid).strip()
    if problem := fault(playlist_id):
        raise _Malformed(f"pid {problem}")
    return playlist_id


def _codes(tracks: list[Any], names: SongNames) -> list[int]:
    known = names.known
    songs = []
    for number, track in enumerate(tracks):
        try:
            code = known[track["track_name"] + "\x1f" + track["artist_name"]]
        except (KeyError, TypeError):  # a new song, or something that is no track
            if not isinstance(track, dict):
                raise _Malformed(f"{_kind(track)} where a track should stand", number) from None
            code = names.code(_text(track, "track_name", number), _text(track, "artist_name", number))
        songs.append(code)
    return songs


def _text(item: dict[str, Any], key: str, track: int = -1) -> str:
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise _Malformed(f"{key} is {_shown(value)}, not a text", track)
    return value or ""


def _kind(value: object) -> str:
    """What JSON calls a value."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    return json.dumps(value) if not isinstance(value, dict | list) else _kind(value)


def _parse(path: Path) -> object:
    content = read_whole(path)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        # The standard parser takes half surrogate pairs, which real names hold, and says where it gave up.
        return _parse_slowly(path, content)


def _parse_slowly(path: Path, content: bytes) -> object:
    try:
        return json.loads(content.decode("utf-8", "surrogatepass"), strict=False)
    except UnicodeDecodeError as error:
        raise DataError(str(path), f"byte {error.start:,}", "not UTF-8 text; is this a slice?", SKIP) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno:,}, column {error.colno:,} (character {error.pos:,})"
        raise DataError(str(path), where, f"broken JSON ({error.msg})", SKIP) from error
    except RecursionError as error:
        raise DataError(str(path), "", "broken JSON (nested too deeply)", SKIP) from error
