"""The songs of tastes as rows of a bundle: by id, or by names normalised as the data set's were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.text.song_keys import SEPARATOR, Matching, lookup_keys
from spotify_buddies.serve_app.ranking.lookup import Keys, find
from spotify_buddies.serve_app.ranking.query import SongName, Taste
from spotify_buddies.trainer.bundle import Bundle

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TasteSongs:
    """The songs of tastes as rows: songs (tastes x songs, ascending, no duplicates); unknown: songs not found, each."""

    songs: Csr
    unknown: tuple[int, ...]


def find_songs(bundle: Bundle, tastes: Sequence[Taste]) -> TasteSongs:
    """Look the songs of tastes up; a name of spaces alone is no song's."""
    wanted = [song for taste in tastes for song in taste.songs]
    rows = np.full(len(wanted), -1, np.int32)
    by_id = [i for i, song in enumerate(wanted) if isinstance(song, str)]
    by_name = [i for i, song in enumerate(wanted) if isinstance(song, SongName)]
    matching: Any = bundle.manifest.matching
    if by_id:
        entries = find(bundle.song_ids, Keys.of([str(wanted[i]) for i in by_id]))
        known = entries >= 0
        rows[np.asarray(by_id)[known]] = bundle.song_id_rows[entries[known]]
    if by_name:
        rows[by_name] = _find_names(bundle, [song for song in wanted if isinstance(song, SongName)], matching)
    split = np.split(rows, np.cumsum([len(taste.songs) for taste in tastes])[:-1]) if tastes else []
    songs = Csr.from_rows([np.unique(part[part >= 0]) for part in split], bundle.manifest.songs)
    return TasteSongs(songs, tuple(int((part < 0).sum()) for part in split))


def keys_of(names: Sequence[SongName], matching: Matching) -> tuple[list[str], Array]:
    """The keys that the songs of these names may have, and int32 which name each is of; the one to prefer in front."""
    look_up = lookup_keys if matching == "plain" else _full_keys
    found = [look_up(title, artist, matching) for title, artist in names]
    if len(names) == sum(map(len, found)) and all(map(_is_named, chain.from_iterable(found))):
        return [key for (key,) in found], np.arange(len(names), dtype=np.int32)
    kept = [[key for key in keys if _is_named(key)] for keys in found]
    return list(chain.from_iterable(kept)), np.repeat(np.arange(len(names), dtype=np.int32), list(map(len, kept)))


# A name read in full takes ten microseconds, and popular songs are asked for again and again. Half a kilobyte an entry.
_full_keys = lru_cache(8_192)(lookup_keys)


def _is_named(key: str) -> bool:
    """Whether a key has a title and an artist: a name of spaces alone has the key of the songs that have no name."""
    title, _, artist = key.partition(SEPARATOR)
    return bool(title and artist and artist[0] != SEPARATOR)


def _find_names(bundle: Bundle, names: Sequence[SongName], matching: Any) -> Array:
    """The row of each name by the first of its keys that a song has, int32 (names,); -1 where no song has one."""
    keys, owner = keys_of(names, matching)
    asked = Keys.of(keys)
    rows = find(bundle.song_keys, asked)
    if bundle.song_aliases is not None and bundle.song_alias_rows is not None:
        # No key is in both.
        aliases = find(bundle.song_aliases, asked)
        rows[aliases >= 0] = bundle.song_alias_rows[aliases[aliases >= 0]]
    out = np.full(len(names), -1, np.int32)
    # The last assignment stays, so the first key comes last.
    out[owner[rows >= 0][::-1]] = rows[rows >= 0][::-1]
    return out
