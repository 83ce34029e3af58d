"""Whether listens and playlists have songs in common, and if not, what their names show about the cause."""

from __future__ import annotations

import re
from collections.abc import Iterable

from spotify_buddies.foundation.text.song_keys import Matching, song_key
from spotify_buddies.trainer.dataset.reading.intern import SongNames
from spotify_buddies.trainer.dataset.validation.report import Matches

Song = tuple[str, str]

# Ids of the Million Song Dataset, of Spotify, of MusicBrainz; and plain numbers.
_ID = re.compile(
    r"(SO|TR)[A-Z0-9]{16}|(spotify:\w+:)?(?=.*\d)(?=.*[A-Za-z])[0-9A-Za-z]{22}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|https?://\S+|\d{5,}"
)
_DASH = re.compile(r" [-–—] ")


def fit(names: SongNames, heard: Iterable[int], listed: Iterable[int], matching: Matching) -> Matches:
    """Count the songs that both sides hold; where there are none although both have songs, the likely cause.

    heard, listed: codes of `names`, which may repeat.
    """
    table = list(zip(*names.table(), strict=True))
    sides = [[table[code] for code in sorted(set(codes) - {SongNames.NONE})] for codes in (heard, listed)]
    keys = [_keys(side, matching) for side in sides]
    shared = len(keys[0] & keys[1])
    cause = "" if shared or not all(keys) else _cause(sides[0], sides[1], matching)
    return Matches(matching, len(keys[0]), len(keys[1]), shared, cause)


def _keys(songs: Iterable[Song], matching: Matching) -> set[str]:
    return {song_key(title, artist, matching) for title, artist in songs}


def _cause(heard: list[Song], listed: list[Song], matching: Matching) -> str:
    listed_keys = _keys(listed, "full")
    if swapped := len(_keys(((artist, title) for title, artist in heard), "full") & listed_keys):
        return (
            f"With title and artist swapped {swapped:,} would match: the two columns are swapped in one of the files."
        )
    if matching == "plain" and (better := len(_keys(heard, "full") & listed_keys)):
        return f"With full matching {better:,} would match: set BUDDIES_DATA__MATCHING=full."
    for side, songs in (("listens", heard), ("playlists", listed)):
        for column, values in (("title", [song[0] for song in songs]), ("artist", [song[1] for song in songs])):
            ids = [value for value in values if _ID.fullmatch(value)]
            if 2 * len(ids) > len(values):
                return f"The {column}s of the {side} look like ids, not names ({ids[0]!r}): write names there."
    for side, songs, other in (("listens", heard, listed_keys), ("playlists", listed, _keys(heard, "full"))):
        halves = [_DASH.split(title, maxsplit=1) for title, _ in songs]
        split = [(parts[1], parts[0]) for parts in halves if len(parts) == 2]
        if _keys(split, "full") & other:
            return f'The titles of the {side} hold "Artist - Title": leave the artist to its own column.'
    return (
        f"Such songs are heard: {_shown(heard)}. Such are in playlists: {_shown(listed)}. "
        "Are they of other people, or are the names in another script or language?"
    )


def _shown(songs: list[Song]) -> str:
    return ", ".join(f"{title!r} by {artist!r}" for title, artist in songs[:2])
