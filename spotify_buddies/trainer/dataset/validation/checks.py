"""One check for each kind of raw file. Each reads the file as the build does, and says what became of its rows."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spotify_buddies.trainer.dataset.errors import Skipped
from spotify_buddies.trainer.dataset.reading.attlist import read_attlist
from spotify_buddies.trainer.dataset.reading.exports.collect import NAMELESS, SHOWN, Left
from spotify_buddies.trainer.dataset.reading.exports.read import Export, read_export
from spotify_buddies.trainer.dataset.reading.files import line_blocks
from spotify_buddies.trainer.dataset.reading.interactions import read_interactions
from spotify_buddies.trainer.dataset.reading.intern import Ids, SongNames
from spotify_buddies.trainer.dataset.reading.mpd import read_slice
from spotify_buddies.trainer.dataset.reading.own import read_own_listens, read_own_playlists
from spotify_buddies.trainer.dataset.reading.rows import table_rows
from spotify_buddies.trainer.dataset.reading.song_names import read_mismatches, read_song_names
from spotify_buddies.trainer.dataset.reading.triplets_file import read_triplets
from spotify_buddies.trainer.dataset.validation.noted import Noted, reasons
from spotify_buddies.trainer.dataset.validation.report import Reason


@dataclass
class Found:
    """What was read so far, by all files. heard, listed: song codes of listens and of playlists, codes of `names`."""

    names: SongNames = field(default_factory=SongNames)
    users: Ids = field(default_factory=Ids)
    song_ids: Ids = field(default_factory=Ids)
    playlists: Ids = field(default_factory=Ids)
    owners: set[str] = field(default_factory=set)
    mismatches: set[tuple[str, str]] = field(default_factory=set)
    heard: array[int] = field(default_factory=lambda: array("i"))
    listed: array[int] = field(default_factory=lambda: array("i"))


@dataclass(frozen=True)
class Outcome:
    """Of one file. what: the rows' kind; left_out: without the malformed rows, which `Noted` holds."""

    rows: int
    used: int
    what: str = "rows"
    left_out: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()


Check = Callable[[Path, Found, Noted], Outcome]


def check_triplets(path: Path, found: Found, noted: Noted) -> Outcome:
    """Taste Profile triplets; their songs have ids alone."""
    used = sum(len(users) for users, _, _ in read_triplets(path, found.users, found.song_ids, noted))
    lines = sum(1 for block in line_blocks(path, Skipped(True)) for line in block.split(b"\n") if line.strip())
    unplayed = lines - used - noted.lines
    return Outcome(lines, used, "lines", _some(("played 0 times", unplayed)))


def check_mismatches(path: Path, found: Found, noted: Noted) -> Outcome:
    """Pairs of song and track that belong to different songs."""
    found.mismatches = read_mismatches(path, noted)
    return Outcome(len(found.mismatches) + noted.lines, len(found.mismatches), "pairs")


def check_song_names(path: Path, found: Found, noted: Noted) -> Outcome:
    """Names of the songs of the triplets, which were read before."""
    named = read_song_names(path, set(found.song_ids.names()), found.mismatches, noted)
    found.heard.extend(found.names.code(title, artist) for title, artist in named.names.values())
    aside = named.again + named.nameless + named.mismatched
    left = _some(
        ("of a song that nobody has played", named.lines - len(named.names) - aside),
        ("of a song that has a name already", named.again),
        (NAMELESS, named.nameless),
        ("of a known mismatch", named.mismatched),
    )
    lacking = len(found.song_ids) - len(named.names)
    notes = (f"{lacking:,} of {len(found.song_ids):,} songs heard have no name here",) if lacking else ()
    return Outcome(named.lines + noted.lines, len(named.names), "names", left, notes)


def check_slice(path: Path, found: Found, noted: Noted) -> Outcome:
    """One slice of the Million Playlist Dataset."""
    part = read_slice(path, found.names, noted)
    found.listed.extend(part.songs.tolist())
    twice = sum(playlist_id in found.playlists for playlist_id in part.ids)
    for playlist_id in part.ids:
        found.playlists.code(playlist_id)
    notes = (f"{len(part.ids):,} playlists", *([f"{twice:,} of them came before"] if twice else []))
    rows = len(part.songs) + part.nameless_tracks
    rows += noted.playlists  # of a malformed one nothing more is known
    return Outcome(rows, len(part.songs), "tracks", _some((NAMELESS, part.nameless_tracks)), notes)


_LISTENS = (("user_id", "title", "artist"), ("plays",))
_PLAYLISTS = (("playlist_id", "name", "title", "artist"), ("owner_id",))


def check_listens(path: Path, found: Found, noted: Noted) -> Outcome:
    """Your own listens."""
    own = read_own_listens(path, found.users, found.names, noted, _quiet)
    found.heard.extend(own.songs)
    rows, nameless = _scan(path, *_LISTENS)
    unplayed = rows - len(own.songs) - own.nameless - noted.lines
    left = (_nameless(own.nameless, nameless), *_some(("played 0 times", unplayed)))
    return Outcome(rows, len(own.songs), "rows", tuple(filter(None, left)), _extra(noted, _LISTENS[1]))


def check_playlists(path: Path, found: Found, noted: Noted) -> Outcome:
    """Your own playlists."""
    own = read_own_playlists(path, found.playlists, found.names, noted, _quiet)
    for playlist_id in own.ids:
        found.playlists.code(playlist_id)
    found.owners.update(own.owners)
    found.listed.extend(own.songs)
    rows, nameless = _scan(path, *_PLAYLISTS)
    left = (
        _nameless(own.nameless, nameless),
        *_some(("of a playlist that came before, in another file", own.rows_of_known)),
    )
    owned = sum(bool(owner) for owner in own.owners)
    notes = [f"{len(own.ids):,} playlists, {owned:,} name an owner"]
    if own.other_owners:
        notes.append(f"{own.other_owners:,} rows name another owner than their playlist's first; that one stands")
    return Outcome(rows, len(own.songs), "rows", tuple(filter(None, left)), (*notes, *_extra(noted, _PLAYLISTS[1])))


def check_export(export: Export, found: Found, noted: Noted) -> Outcome:
    """An export of a music service or a player."""
    read = read_export(export, found.names, noted)
    if read.heard:
        found.users.code(export.user)
    found.heard.extend(read.heard)
    found.listed.extend(read.songs)
    if read.ids:
        found.owners.add(export.user)
    twice = sum(playlist_id in found.playlists for playlist_id in read.ids)
    for playlist_id in read.ids:
        found.playlists.code(playlist_id)
    notes = []
    if read.ids:
        shown = ", ".join(read.titles[:3]) + (", …" if len(read.titles) > 3 else "")
        notes.append(f"{len(read.ids):,} {'playlist' if len(read.ids) == 1 else 'playlists'}: {shown}")
    if twice:
        notes.append(f"{twice:,} of the playlists came before, under the same id")
    if not read.tally.rows and not noted.broken:
        notes.append("nothing in it")
    return Outcome(read.tally.rows, read.tally.used, "rows", reasons(read.tally.dropped), tuple(notes))


_INTERACTIONS = (("user_id", "playlist_id"), ("at", "weight", "kind"))


def check_interactions(path: Path, found: Found, noted: Noted) -> Outcome:
    """Follows, likes, saves or dislikes; users and playlists were read before."""
    read = read_interactions([path], found.users, found.owners, found.playlists, noted, _quiet)
    left = tuple(Reason(why.replace("_", " "), rows) for why, rows in read.counts.items() if rows)
    rows = len(read.users) + sum(reason.rows for reason in left) + noted.lines
    notes = tuple(f"such as: {one}" for one in read.listed[:SHOWN])
    return Outcome(rows, len(read.users), "rows", left, (*notes, *_extra(noted, _INTERACTIONS[1])))


def check_attlist(path: Path, _found: Found, _noted: Noted) -> Outcome:
    """AttList's files, by the folder that holds them; its songs and playlists are numbers."""
    read = read_attlist(path.parent)
    parts = [part for part in (read.train, read.validation, read.test) if part is not None]
    follows = sum(part.users.size for part in parts)
    notes = (f"{read.playlists:,} playlists of {read.songs.nnz:,} songs", f"{read.users:,} users")
    return Outcome(follows, follows, "follows", (), notes)


# By the names of the fields of `Sources`, in the order in which they have to be read; the slices come between the two.
TASTE_PROFILE: dict[str, tuple[str, Check]] = {
    "triplets": ("Taste Profile, listens", check_triplets),
    "mismatches": ("Taste Profile, known mismatches", check_mismatches),
    "song_names": ("Taste Profile, song names", check_song_names),
}
# Add a kind of file here.
OWN: dict[str, tuple[str, Check]] = {
    "listens": ("your own listens", check_listens),
    "playlists": ("your own playlists", check_playlists),
}


def _quiet(_rows: int) -> None:
    """No progress: the build shows it."""


def _some(*counted: tuple[str, int]) -> tuple[Reason, ...]:
    return tuple(Reason(why, rows) for why, rows in counted if rows > 0)


def _nameless(rows: int, places: Left) -> Reason | None:
    return Reason(NAMELESS, rows, tuple(places.places)) if rows else None


def _scan(path: Path, required: Sequence[str], optional: Sequence[str]) -> tuple[int, Left]:
    """Rows of a table, and where the first ones without a title or an artist stand."""
    skipped, rows, nameless = Skipped(True), 0, Left()
    title, artist = required.index("title"), required.index("artist")
    for where, fields in table_rows(path, required, optional, skipped):
        rows += 1
        if not fields[title].strip() or not fields[artist].strip():
            nameless.add(where)
    return rows + skipped.lines, nameless


def _extra(noted: Noted, optional: Sequence[str]) -> tuple[str, ...]:
    """Columns that no part of the build reads: a misspelt `plays` would else go unseen."""
    names = [name for columns in noted.unread.values() for name in columns]
    may_be = f"; beside the required ones these are: {', '.join(optional)}"
    return (f"columns that are not read: {', '.join(names)}{may_be}",) if names else ()
