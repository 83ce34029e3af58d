"""Your own data: listens and playlists as CSV or Parquet."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from spotify_buddies.foundation.text.ids import fault, is_id
from spotify_buddies.trainer.dataset.errors import SKIP, DataError, Skipped
from spotify_buddies.trainer.dataset.reading.intern import Ids, SongNames, clean
from spotify_buddies.trainer.dataset.reading.rows import table_rows
from spotify_buddies.trainer.dataset.reading.values import first_artist, id_text

_TICK_ROWS = 65_536
Tick = Callable[[int], None]


@dataclass
class OwnListens:
    """Codes of users and of songs, one entry per row that names a song and was played."""

    users: array[int] = field(default_factory=lambda: array("i"))
    songs: array[int] = field(default_factory=lambda: array("i"))
    nameless: int = 0


@dataclass
class OwnPlaylists:
    """Playlists in the order of their first row. playlists, songs: one entry per track; owners: "" where not named."""

    ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    playlists: array[int] = field(default_factory=lambda: array("i"))
    songs: array[int] = field(default_factory=lambda: array("i"))
    nameless: int = 0
    rows_of_known: int = 0
    other_owners: int = 0


def read_own_listens(path: Path, users: Ids, names: SongNames, skipped: Skipped, tick: Tick) -> OwnListens:
    """Read user_id, title, artist[, plays]. New users and songs are added to `users` and `names`.

    Ids are read as values.id_text has them; of a list of artists the first one counts. A row whose user_id is no id
    (foundation/text/ids.py) or whose plays are not a finite number goes to `skipped`; one without title or artist is
    counted as nameless; one with 0 plays is no listen.
    """
    result = OwnListens()
    rows = table_rows(path, ("user_id", "title", "artist"), ("plays",), skipped)
    for number, (where, (user, title, artist, plays)) in enumerate(rows):
        # Rarely: progress for each row would slow the reading down.
        if number % _TICK_ROWS == 0:
            tick(number)
        user_id = id_text(user)
        problem = _not_an_id("user_id", user_id) or _not_plays(plays)
        if problem:
            skipped.line(DataError(str(path), where, problem, SKIP))
        elif not plays or float(plays) > 0:
            song = names.code(title, first_artist(artist) if artist[:1] == "[" else artist)
            if song == SongNames.NONE:
                result.nameless += 1
            else:
                result.users.append(users.code(user_id))
                result.songs.append(song)
    return result


def read_own_playlists(path: Path, known: Ids, names: SongNames, skipped: Skipped, tick: Tick) -> OwnPlaylists:
    """Read playlist_id, name, title, artist[, owner_id]; the rows of a playlist need not be adjacent.

    The first owner that a playlist names keeps it, later other ones are counted. Rows of a playlist that `known` holds
    already are counted and left out. A row whose playlist_id or owner_id is no id goes to `skipped`.
    """
    # Codes of its own: `known` must keep only playlists that came before this file.
    result = OwnPlaylists()
    own = Ids()
    rows = table_rows(path, ("playlist_id", "name", "title", "artist"), ("owner_id",), skipped)
    for number, (where, (raw_id, name, title, artist, owner)) in enumerate(rows):
        if number % _TICK_ROWS == 0:
            tick(number)
        playlist_id, owner_id = id_text(raw_id), id_text(owner)
        problem = _not_an_id("playlist_id", playlist_id) or (owner_id and _not_an_id("owner_id", owner_id))
        if problem:
            skipped.line(DataError(str(path), where, problem, SKIP))
        elif playlist_id in known:
            result.rows_of_known += 1
        else:
            row = own.code(playlist_id)
            _describe(result, row, playlist_id, clean(name), owner_id)
            _add(result, row, names.code(title, first_artist(artist) if artist[:1] == "[" else artist))
    return result


def _describe(result: OwnPlaylists, row: int, playlist_id: str, name: str, owner: str) -> None:
    if row == len(result.ids):
        result.ids.append(playlist_id)
        result.titles.append(name)
        result.owners.append(owner)
        return
    # Rows of one playlist may leave columns empty; the first row that fills one decides.
    result.titles[row] = result.titles[row] or name
    result.other_owners += bool(owner and result.owners[row] and owner != result.owners[row])
    result.owners[row] = result.owners[row] or owner


def _add(result: OwnPlaylists, row: int, song: int) -> None:
    if song == SongNames.NONE:
        result.nameless += 1
    else:
        result.playlists.append(row)
        result.songs.append(song)


def _not_an_id(column: str, value: str) -> str:
    if is_id(value):
        return ""
    return f"the {column} {fault(value) if value else 'is empty'}"


def _not_plays(plays: str) -> str:
    if not plays:
        return ""
    try:
        count = float(plays)
    except ValueError:
        return f"the play count {plays!r} is not a number"
    # float() also reads "nan" and "inf", which compare with 0 as if they were counts.
    if not math.isfinite(count):
        return f"the play count {plays!r} is not a finite number"
    return "" if count >= 0 else f"the play count {plays!r} is below 0"
