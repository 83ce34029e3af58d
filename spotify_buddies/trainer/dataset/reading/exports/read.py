"""Exports found and read: whose they are, the ids of their playlists, and their songs as codes."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath

import xxhash

from spotify_buddies.foundation.text.ids import fault
from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.exports.collect import Collector, Tally
from spotify_buddies.trainer.dataset.reading.exports.formats import Format
from spotify_buddies.trainer.dataset.reading.intern import Ids, SongNames, clean

# Folders that services make: their names name nobody.
_OF_SERVICES = re.compile(
    r"spotify account data|spotify extended streaming history|my_?spotify_?data.*|mydata|spotify_playlists|exportify"
    r"|listens|listenbrainz.*|lastfm|last\.fm|itunes|music|playlists|exports?",
    re.IGNORECASE,
)
_MONTH = re.compile(r"\d{4}/\d{1,2}\.jsonl")  # of ListenBrainz, given by its folder `listens`


@dataclass(frozen=True)
class Export:
    """One file. name: its path below the data folder, with slashes, the same on every system; user: whose it is."""

    path: Path
    name: str
    user: str
    format: Format


@dataclass
class ReadExport:
    """What one export holds. heard: song codes; ids, titles: its playlists; playlists, songs: codes a track."""

    heard: array[int] = field(default_factory=lambda: array("i"))
    ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    playlists: array[int] = field(default_factory=lambda: array("i"))
    songs: array[int] = field(default_factory=lambda: array("i"))
    tally: Tally = field(default_factory=Tally)


def user_of(name: str) -> str:
    """The user whose export a file is: the first folder of its path, "" where that is a folder that a service made."""
    parts = PurePosixPath(name).parts
    if len(parts) < 2 or _OF_SERVICES.fullmatch(parts[0]) or _MONTH.fullmatch(name):
        return ""
    return unicodedata.normalize("NFC", parts[0]).strip()


def read_export(export: Export, names: SongNames, skipped: Skipped) -> ReadExport:
    """Read one export; new songs are added to `names`.

    A malformed row and a file that breaks go to `skipped`; if that lets them pass, what came before the break counts.
    """
    rows = Collector(export.path, names, skipped)
    try:
        export.format.read(export.path, rows)
    except DataError as error:
        skipped.file(error)
    titles = [clean(title) for title in rows.titles]
    return ReadExport(rows.heard, playlist_ids(export, titles), titles, rows.playlists, rows.songs, rows.tally)


def playlist_ids(export: Export, titles: Iterable[str]) -> list[str]:
    """The ids of an export's playlists, in order: the file's path, and the title where a file holds several.

    Playlists of one title are numbered in the order of the file. What is too long for an id, or has characters that
    none may have, becomes its hash (XXH3, 128 bits). So ids stay when the same folder is read again.
    """
    name = unicodedata.normalize("NFC", export.name)
    ids: dict[str, None] = {}
    for title in titles:
        whole = (name if export.format.single else f"{name}/{title}").strip()
        same = (f"{whole} ({number})" for number in count(2))
        playlist_id = _as_id(whole)
        while playlist_id in ids:
            playlist_id = _as_id(next(same))
        ids[playlist_id] = None
    return list(ids)


def _as_id(text: str) -> str:
    if not fault(text):
        return text
    return f"playlist-{xxhash.xxh3_128(text.encode('utf-8', 'replace')).hexdigest()}"


@dataclass
class ReadExports:
    """All exports together. users, heard: a pair of codes per listen; the rest as in ReadExport, with an owner each.

    left_out: rows by the reason for it; twice: playlists that came before, under the same id.
    """

    users: array[int] = field(default_factory=lambda: array("i"))
    heard: array[int] = field(default_factory=lambda: array("i"))
    ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    playlists: array[int] = field(default_factory=lambda: array("i"))
    songs: array[int] = field(default_factory=lambda: array("i"))
    left_out: Counter[str] = field(default_factory=Counter)
    twice: int = 0


def read_exports(exports: Iterable[Export], users: Ids, known: Ids, names: SongNames, skipped: Skipped) -> ReadExports:
    """Read exports in their order; new users and songs are added to `users` and `names`.

    A playlist whose id is in `known` is counted and left out.
    """
    result = ReadExports()
    for export in exports:
        part = read_export(export, names, skipped)
        for why, left in part.tally.dropped.items():
            result.left_out[why] += left.count
        if part.heard:
            code = users.code(export.user)
            result.users.extend([code] * len(part.heard))
            result.heard.extend(part.heard)
        _add_playlists(result, part, export.user, known)
    return result


def _add_playlists(result: ReadExports, part: ReadExport, owner: str, known: Ids) -> None:
    rows = {}
    for number, playlist_id in enumerate(part.ids):
        if playlist_id in known:
            result.twice += 1
            continue
        rows[number] = len(result.ids)
        result.ids.append(playlist_id)
        result.titles.append(part.titles[number])
        result.owners.append(owner)
    for number, song in zip(part.playlists, part.songs, strict=True):
        if number in rows:
            result.playlists.append(rows[number])
            result.songs.append(song)
