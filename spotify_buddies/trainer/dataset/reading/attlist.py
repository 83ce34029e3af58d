"""AttList's text files (He et al., CIKM 2019): who follows which playlist, and the playlists' songs, all as numbers."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.files import text_lines

Array = npt.NDArray[Any]

TRAIN, VALIDATION, TEST, SONGS = "train.txt", "validation.txt", "test.txt", "listItem_spotify.txt"
# Numbers become rows of matrices: one slip of a digit must not ask for all the memory there is.
LARGEST = 50_000_000
_NUMBER = re.compile(r"\d{1,9}")
_REPAIR = "repair the file, or fetch it anew"


@dataclass(frozen=True)
class Pairs:
    """Who follows what, in the order of the file: users and playlists, int32 (pairs,) each."""

    users: Array
    playlists: Array

    def matrix(self, users: int, playlists: int) -> Csr:
        """Binary rows (users, playlists), ascending within a row. ValueError: a number beyond them."""
        order = np.lexsort((self.playlists, self.users))
        if self.users.size and int(self.users.max()) >= users:
            raise ValueError(f"user {int(self.users.max())} is beyond {users} rows")
        indptr = np.zeros(users + 1, np.int64)
        np.cumsum(np.bincount(self.users, minlength=users), out=indptr[1:])
        return Csr(indptr, self.playlists[order], playlists)


@dataclass(frozen=True)
class AttList:
    """A public split. songs: Csr (playlists, songs), in the playlist's order, each song once; test None: no file."""

    users: int
    songs: Csr
    train: Pairs
    validation: Pairs
    test: Pairs | None

    @property
    def playlists(self) -> int:
        """Number of playlists, those without a known song too."""
        return self.songs.rows


def read_attlist(directory: Path) -> AttList:
    """Read train.txt, validation.txt, listItem_spotify.txt and, where it is there, test.txt of a directory.

    Users are 0 .. the largest number named; a playlist that only the pairs name has no songs.
    DataError: a file that is missing or empty, a line that cannot be read, or a pair that stands in two of the parts.
    """
    train, validation = read_pairs(directory / TRAIN), read_pairs(directory / VALIDATION)
    test = read_pairs(directory / TEST) if (directory / TEST).exists() else None
    parts = [part for part in (train, validation, test) if part is not None]
    _check_apart(directory, dict(zip((TRAIN, VALIDATION, TEST), parts, strict=False)))
    most = max(int(part.playlists.max()) for part in parts) + 1
    songs = read_songs(directory / SONGS, at_least=most)
    return AttList(max(int(part.users.max()) for part in parts) + 1, songs, train, validation, test)


def read_pairs(path: Path) -> Pairs:
    """Read lines of user<TAB>playlist<TAB>1.0; blank lines are passed over.

    DataError: no such file, no pair in it, a line in another form, a number past LARGEST, or a pair that comes twice.
    """
    users, playlists = array("i"), array("i")
    seen: dict[tuple[int, int], int] = {}
    for number, line in _lines(path):
        fields = line.split("\t")
        if len(fields) != 3:
            raise _fault(path, number, f"{len(fields)} field(s) where user, playlist and 1.0 should stand between tabs")
        user, playlist = _number(path, number, "user", fields[0]), _number(path, number, "playlist", fields[1])
        if fields[2].strip() not in ("1.0", "1"):
            raise _fault(path, number, f"the third field is {fields[2].strip()!r}, not 1.0")
        first = seen.setdefault((user, playlist), number)
        if first != number:
            raise _fault(path, number, f"user {user} and playlist {playlist} stand in line {first:,} already")
        users.append(user)
        playlists.append(playlist)
    if not users:
        raise DataError(str(path), "", "no pair of user and playlist in it", _REPAIR)
    return Pairs(np.array(users, np.int32), np.array(playlists, np.int32))


def read_songs(path: Path, at_least: int = 0) -> Csr:
    """Read lines of playlist<TAB>[song, song, ..]: Csr (playlists, songs), in the order given, a song only once.

    Playlists may come in any order; a number that no line names is a playlist without songs. at_least: fewest rows.
    DataError: no such file, no line in it, a line in another form, a number past LARGEST, or a playlist named twice.
    """
    found: dict[int, list[int]] = {}
    for number, line in _lines(path):
        name, tab, listed = line.partition("\t")
        listed = listed.strip()
        if not tab or not (listed.startswith("[") and listed.endswith("]")):
            raise _fault(path, number, "not a playlist, a tab and its songs as [song, song, ..]")
        playlist = _number(path, number, "playlist", name)
        if playlist in found:
            raise _fault(path, number, f"playlist {playlist} comes a second time")
        inner = listed[1:-1].strip()
        songs = [_number(path, number, "song", song) for song in inner.split(",")] if inner else []
        found[playlist] = list(dict.fromkeys(songs))
    if not found:
        raise DataError(str(path), "", "no playlist in it", _REPAIR)
    rows = [found.get(playlist, []) for playlist in range(max(at_least, max(found) + 1))]
    return Csr.from_rows(rows, max((max(row) + 1 for row in rows if row), default=0))


def _check_apart(directory: Path, parts: dict[str, Pairs]) -> None:
    """DataError where two parts share a pair: what is held out would have been learned."""
    keys = {name: part.users.astype(np.int64) << 32 | part.playlists for name, part in parts.items()}
    names = list(keys)
    for place, later in enumerate(names):
        for earlier in names[:place]:
            both = np.flatnonzero(np.isin(keys[later], keys[earlier]))
            if both.size:
                user, playlist = (int(part[both[0]]) for part in (parts[later].users, parts[later].playlists))
                problem = (
                    f"{both.size:,} pair(s) of {earlier} stand in it too, such as user {user}, playlist {playlist}"
                )
                raise DataError(str(directory / later), "", problem, "the parts must not share pairs")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if not path.is_file():
        raise DataError(str(path), "", "no such file", f"AttList's split has {TRAIN}, {VALIDATION} and {SONGS}")
    for number, line in enumerate(text_lines(path, Skipped()), 1):
        if line.strip():
            yield number, line


def _number(path: Path, line: int, what: str, text: str) -> int:
    if not _NUMBER.fullmatch(text.strip()) or not text.isascii() or int(text) > LARGEST:
        raise _fault(path, line, f"the {what} {text.strip()[:40]!r} is not a whole number up to {LARGEST:,}")
    return int(text)


def _fault(path: Path, line: int, problem: str) -> DataError:
    return DataError(str(path), f"line {line:,}", problem, _REPAIR)
