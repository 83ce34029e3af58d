"""The songs of tastes as rows of a bundle: by id, or by names normalised as the data set's were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.text.song_keys import lookup_keys
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


def _find_names(bundle: Bundle, names: Sequence[SongName], matching: Any) -> Array:
    """The row of each name by the first of its keys that a song has, int32 (names,); -1 where no song has one."""
    keys = [lookup_keys(name.title, name.artist, matching) for name in names]
    # A name of spaces alone has the key of the songs that have no name.
    keys = [[key for key in found if all(key.split("\x1f")[:2])] for found in keys]
    asked = Keys.of([key for found in keys for key in found])
    rows = find(bundle.song_keys, asked)
    if bundle.song_aliases is not None and bundle.song_alias_rows is not None:
        # No key is in both.
        aliases = find(bundle.song_aliases, asked)
        rows[aliases >= 0] = bundle.song_alias_rows[aliases[aliases >= 0]]
    out = np.full(len(names), -1, np.int32)
    owner = np.repeat(np.arange(len(names)), [len(found) for found in keys])
    # The last assignment stays, so the first key comes last.
    out[owner[rows >= 0][::-1]] = rows[rows >= 0][::-1]
    return out
