"""Song names as keys: the same song written in two ways gets one key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from spotify_buddies.foundation.text.artists import artist_guests, full_artist, other_artists
from spotify_buddies.foundation.text.titles import full_title, read_title

Matching = Literal["plain", "full"]

SEPARATOR = "\x1f"


def song_key(title: str, artist: str, matching: Matching = "plain") -> str:
    """The key of a song: normalised title and artist, joined by a character that neither can hold.

    plain: strip and lower case, as the published figures were made. full: titles.full_title and artists.full_artist.
    """
    if matching == "plain":
        return f"{normalise(title)}{SEPARATOR}{normalise(artist)}"
    return f"{full_title(title)}{SEPARATOR}{full_artist(artist)}"


class SongKeys:
    """Keys of many songs, in their order: `song_key`, but two songs that name different guests get two keys.

    "Song (feat. A)" and "Song (feat. B)" are two recordings, and so are "Song?" and "Song!"; "Song" alone may be
    either. The first of them has the key of "Song", and every other one a key of its own.
    """

    def __init__(self, matching: Matching) -> None:
        self._matching: Matching = matching
        self._told: dict[str, tuple[tuple[str, ...], str]] = {}

    def key(self, title: str, artist: str) -> str:
        """The key of the next song."""
        if self._matching == "plain":
            return song_key(title, artist)
        read = read_title(title)
        guests = read.guests or artist_guests(artist)
        key = f"{read.key}{SEPARATOR}{full_artist(artist)}"
        if not guests and not read.end:
            return key
        had_guests, had_end = self._told.get(key, ((), ""))
        if (had_guests and guests and had_guests != guests) or (had_end and read.end and had_end != read.end):
            return _with_details(key, guests, read.end)
        self._told[key] = had_guests or guests, had_end or read.end
        return key


def row_keys(
    titles: Iterable[str], artists: Iterable[str], matching: Matching, *, taken: Iterable[str] = ()
) -> list[str]:
    """The key of each row of a song table, all different where the data set was matched in that way.

    A row whose `song_key` an earlier row has is told from it by its guests. `lookup_keys` finds both. taken: keys that
    no row may have, since they are other names of a row.
    """
    taken = set(taken)
    keys = []
    for title, artist in zip(titles, artists, strict=True):
        key = song_key(title, artist, matching)
        if key in taken and matching == "full":
            key = exact_key(title, artist)
        taken.add(key)
        keys.append(key)
    return keys


def lookup_keys(title: str, artist: str, matching: Matching) -> list[str]:
    """The keys under which `row_keys` may hold a song, the one to look for first in front; at least one."""
    key = song_key(title, artist, matching)
    if matching == "plain":
        return [key]
    others = [other.key for other in other_keys(title, artist)]
    return list(dict.fromkeys([exact_key(title, artist), key, *others]))


def exact_key(title: str, artist: str) -> str:
    """The key under full matching with the guests and the final "?" or "!" of a name; `song_key` for one without."""
    read = read_title(title)
    return _with_details(f"{read.key}{SEPARATOR}{full_artist(artist)}", read.guests or artist_guests(artist), read.end)


class OtherKey(NamedTuple):
    """A key that a song may have elsewhere. sure: whether it is the same song, whatever else the two keys meet."""

    key: str
    sure: bool


def other_keys(title: str, artist: str) -> list[OtherKey]:
    """The keys under full matching of the same song by the names that its artist may go by otherwise, best first.

    For a joined name ("A & B") those of its lead artist, for a sort name ("Last, First") that of the spoken one. None
    for any other name. See artists.other_artists.
    """
    others = other_artists(artist)
    title_key = full_title(title) if others else ""
    return [OtherKey(f"{title_key}{SEPARATOR}{other.key}", other.sure) for other in others]


def normalise(text: str) -> str:
    """One name under plain matching: strip and lower case."""
    return text.strip().lower()


def _with_details(key: str, guests: tuple[str, ...], end: str) -> str:
    return f"{key}{SEPARATOR}{','.join(guests)}{end}" if guests or end else key
