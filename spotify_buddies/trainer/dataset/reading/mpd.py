"""Slices of the Million Playlist Dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from spotify_buddies.foundation.stages.blocks import over_blocks, processors
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.foundation.text.ids import fault
from spotify_buddies.trainer.dataset.errors import SKIP, DataError, Skipped
from spotify_buddies.trainer.dataset.reading.files import read_start
from spotify_buddies.trainer.dataset.reading.intern import SongNames, clean
from spotify_buddies.trainer.dataset.reading.slices.kernels.cut import FOLLOWERS, NAME, PID, TRACKS
from spotify_buddies.trainer.dataset.reading.slices.spellings import CutSlice, Spellings, cut_playlists
from spotify_buddies.trainer.dataset.reading.values import id_text, whole

Array = npt.NDArray[Any]

# Slices that are cut at a time, of some tens of MB, however many cores there are.
AHEAD = 8
_LIST = re.compile(r'"playlists"\s*:\s*\[\s*')
_COMMA = re.compile(r"\s*,\s*")


@dataclass
class Slice:
    """The playlists of one slice. lengths: tracks of each; songs: their codes, int32, in the order of the file."""

    ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    followers: list[int | None] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    songs: Array = field(default_factory=lambda: np.empty(0, np.int32))
    nameless_tracks: int = 0

    def only(self, rows: Sequence[int]) -> Slice:
        """Some of the playlists, ascending; tracks without a name are not counted anew. Itself where it is all."""
        if len(rows) == len(self.ids):
            return self
        kept = np.zeros(len(self.ids), bool)
        kept[rows] = True
        return Slice(
            ids=[self.ids[row] for row in rows],
            titles=[self.titles[row] for row in rows],
            followers=[self.followers[row] for row in rows],
            lengths=[self.lengths[row] for row in rows],
            songs=self.songs[np.repeat(kept, self.lengths)],
            nameless_tracks=self.nameless_tracks,
        )


@dataclass(frozen=True)
class OpenedSlice:
    """The content of a slice, up to where its packing breaks, with how it breaks; cut where it has the usual form."""

    path: Path
    content: bytes
    problem: DataError | None
    cut: CutSlice | None


def open_slice(path: Path) -> OpenedSlice:
    """What of a slice can be read without the names of those before it. DataError: an empty file."""
    content, problem = read_start(path)
    return OpenedSlice(path, content, problem, cut_playlists(content) if problem is None else None)


def open_slices(paths: Sequence[Path], progress: Progress) -> Iterator[OpenedSlice | DataError]:
    """open_slice of each path, in their order; a few are opened ahead, on every processor."""

    def opened(first: int, _: int) -> OpenedSlice | DataError:
        try:
            return open_slice(paths[first])
        except DataError as error:
            return error

    return over_blocks(len(paths), 1, "slices", progress, opened, threads=min(processors(), AHEAD), unit="files")


class SliceReader:
    """Reads slices one after the other; names not seen before are added to `names`."""

    def __init__(self, names: SongNames) -> None:
        self._names, self._spellings = names, Spellings(names)

    def read(self, opened: OpenedSlice, skipped: Skipped | None = None) -> Slice:
        """Read one slice.

        A playlist whose form is not a slice's goes to `skipped`, which names it; nothing of it stays in the names. So
        does a file whose JSON or packing breaks: it ends at the last whole playlist before that. DataError: no list of
        playlists.
        """
        if opened.cut is not None:
            try:
                result = _described(opened.cut)
            except _Malformed:
                pass  # below, where it is named
            else:
                _add_songs(result, opened.cut, self._spellings.codes(opened.cut))
                return result
        return _read_parsed(opened, self._names, Skipped() if skipped is None else skipped)


def read_slice(path: Path, names: SongNames, skipped: Skipped | None = None) -> Slice:
    """Read one slice by itself; see SliceReader."""
    return SliceReader(names).read(open_slice(path), skipped)


def _described(cut: CutSlice) -> Slice:
    """The playlists without their songs."""
    names = [_as_text(name, "name") for name in cut.values(NAME)]
    return Slice(
        ids=[_id(pid) for pid in cut.values(PID)],
        titles=[clean(name) for name in names],
        followers=[_followers(number) for number in cut.values(FOLLOWERS)],
    )


def _add_songs(result: Slice, cut: CutSlice, codes: Array) -> None:
    kept = codes != SongNames.NONE
    ends = np.concatenate([[0], np.cumsum(cut.playlists[:, TRACKS], dtype=np.int64)])
    before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    result.lengths = np.diff(before[ends]).tolist()
    result.songs = codes if kept.all() else codes[kept]
    result.nameless_tracks = int(codes.size - result.songs.size)


def _read_parsed(opened: OpenedSlice, names: SongNames, skipped: Skipped) -> Slice:
    """Read a slice of any form, or of none."""
    mark = names.mark()
    result, songs = Slice(), list[int]()
    for number, playlist in enumerate(_playlists(opened, skipped)):
        before = names.mark()
        try:
            _read_playlist(playlist, names, result, songs)
        except _Malformed as error:
            names.rewind(before if skipped.allowed else mark)
            where = f"playlist {number:,} of the slice" + (f", track {error.track:,}" if error.track >= 0 else "")
            skipped.playlist(DataError(str(opened.path), where, error.problem, SKIP))
    result.songs = np.array(songs, np.int32)
    return result


class _Malformed(Exception):
    """A playlist of another form. problem: what is wrong; track: with which of its tracks, -1 for the playlist."""

    def __init__(self, problem: str, track: int = -1) -> None:
        super().__init__(problem, track)
        self.problem, self.track = problem, track


def _read_playlist(playlist: object, names: SongNames, result: Slice, into: list[int]) -> None:
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
    result.ids.append(playlist_id)
    result.titles.append(clean(_as_text(playlist.get("name"), "name")))
    result.followers.append(_followers(playlist.get("num_followers")))
    result.lengths.append(len(kept))
    into += kept
    result.nameless_tracks += len(songs) - len(kept)


def _followers(number: object) -> int | None:
    followers = whole(number)
    return followers if followers is not None and 0 <= followers < 1 << 31 else None


def _id(pid: object) -> str:
    """A pid as an id. Tables hand whole numbers on as floats, which are exact below 2^53."""
    number = pid if isinstance(pid, str) else whole(pid)
    if number is None or number == "":
        raise _Malformed(f"pid is {_shown(pid)}, neither a whole number nor a text")
    playlist_id = id_text(str(number))
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
            title, artist = (_as_text(track.get(key), key, number) for key in ("track_name", "artist_name"))
            code = names.code(title, artist)
        songs.append(code)
    return songs


def _as_text(value: object, key: str, track: int = -1) -> str:
    if isinstance(value, str):
        return value
    # NaN is what tables write for a text that is missing.
    if value is None or value != value:
        return ""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _Malformed(f"{key} is {_shown(value)}, not a text", track)
    number = whole(value)  # a title like 1979
    return str(value if number is None else number)


def _kind(value: object) -> str:
    """What JSON calls a value."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    return json.dumps(value) if not isinstance(value, dict | list) else _kind(value)


def _playlists(opened: OpenedSlice, skipped: Skipped) -> list[Any]:
    """The slice's playlists, up to where its packing or its JSON breaks."""
    path, content, problem = opened.path, opened.content, opened.problem
    if problem is None:
        try:
            return _listed(path, orjson.loads(content))
        except orjson.JSONDecodeError:
            # The standard parser takes half surrogate pairs, which real names hold, and says where it gave up.
            try:
                return _listed(path, _parse_slowly(path, content))
            except _Broken as error:
                problem = error.args[0]
    skipped.file(problem)
    return _whole_playlists(content)


class _Broken(Exception):
    """JSON that ends or breaks. args: the DataError that says where."""


def _listed(path: Path, content: object) -> list[Any]:
    playlists = content.get("playlists") if isinstance(content, dict) else None
    if not isinstance(playlists, list):
        raise DataError(str(path), "field 'playlists'", "not a slice: no list of playlists", SKIP)
    return playlists


def _parse_slowly(path: Path, content: bytes) -> object:
    try:
        return json.loads(content.decode("utf-8", "surrogatepass"), strict=False)
    except UnicodeDecodeError as error:
        where, problem = f"byte {error.start:,}", "not UTF-8 text; is this a slice?"
    except json.JSONDecodeError as error:
        where = f"line {error.lineno:,}, column {error.colno:,} (character {error.pos:,})"
        problem = f"broken JSON ({error.msg})"
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        where, problem = "", f"broken JSON ({'nested too deeply' if isinstance(error, RecursionError) else error})"
    raise _Broken(DataError(str(path), where, problem, SKIP))


def _whole_playlists(content: bytes) -> list[Any]:
    """The playlists before the place where the content breaks."""
    try:
        text = content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        text = content[: error.start].decode("utf-8", "surrogatepass")
    start = _LIST.search(text)
    decoder = json.JSONDecoder(strict=False)
    playlists: list[Any] = []
    while start:
        try:
            playlist, end = decoder.raw_decode(text, start.end())
        except (ValueError, RecursionError):
            break
        playlists.append(playlist)
        start = _COMMA.match(text, end)
    return playlists
