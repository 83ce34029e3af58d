"""Slices of the Million Playlist Dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from trainer.dataset.errors import SKIP, DataError
from trainer.dataset.files import read_whole
from trainer.dataset.intern import SongNames, clean


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
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            names.rewind(mark)
            raise DataError(str(path), f"playlist {number:,} of the slice", _form(playlist, error), SKIP) from error
    return result


def _read_playlist(playlist: dict[str, Any], names: SongNames, result: Slice) -> None:
    pid = playlist["pid"]
    if not isinstance(pid, int | str) or isinstance(pid, bool) or pid == "":
        raise ValueError(f"pid is {pid!r}")
    known = names.known
    songs = []
    for track in playlist["tracks"]:
        try:
            code = known[track["track_name"] + "\x1f" + track["artist_name"]]
        except (KeyError, TypeError):
            code = names.code(_text(track, "track_name"), _text(track, "artist_name"))
        songs.append(code)
    kept = [code for code in songs if code != SongNames.NONE]
    followers = playlist.get("num_followers")
    result.ids.append(clean(str(pid)))
    result.titles.append(clean(_text(playlist, "name")))
    result.followers.append(followers if isinstance(followers, int) and 0 <= followers < 1 << 31 else None)
    result.lengths.append(len(kept))
    result.songs += kept
    result.nameless_tracks += len(songs) - len(kept)


def _text(item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is {value!r}, not a text")
    return value or ""


def _form(playlist: object, error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no field {error.args[0]!r}"
    if not isinstance(playlist, dict):
        return f"a {type(playlist).__name__} where a playlist should stand"
    return str(error)


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
