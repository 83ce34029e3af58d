"""The songs that meet by names near to each other, as a step of matching."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.near.catalogue import Meeting, read_catalogue, with_bands
from spotify_buddies.trainer.dataset.near.spelling import misspelled_artists, misspelled_guests, misspelled_titles
from spotify_buddies.trainer.dataset.near.subtitles import left_out_subtitles

Array = npt.NDArray[Any]


def near_names(
    keys: Sequence[str], codes: Array, names: Sequence[tuple[str, str]], lists: Sequence[Csr]
) -> list[Meeting]:
    """The pairs of keys that are one song although they differ: misspellings first, then left-out subtitles.

    keys: full matching's, by code. codes: of each raw song, int32. names: title and artist of each. lists: who has
    which raw songs (libraries, playlists); none: nobody is known to have two together. Which keys meet does not depend
    on the order of the songs, nor does the order of the pairs. No pairs where nothing is near.
    """
    of = codes.tolist()
    catalogue = read_catalogue(keys, of, names)
    artists = with_bands(catalogue)
    meetings = [
        *misspelled_artists(catalogue),
        *misspelled_titles(catalogue, artists),
        *misspelled_guests(catalogue, of, names),
        *_not_together(left_out_subtitles(catalogue, artists), codes, lists),
    ]
    return sorted(meetings, key=lambda meeting: (keys[meeting.code], keys[meeting.target]))


def _not_together(meetings: list[Meeting], codes: Array, lists: Sequence[Csr]) -> list[Meeting]:
    """The meetings of songs that no list has both of: who has both knows them as two songs."""
    asked = np.unique(np.array([code for pair in meetings for code in (pair.code, pair.target)], np.int64))
    rows: dict[int, set[tuple[int, int]]] = defaultdict(set)
    of_asked = np.isin(codes, asked)
    for number, one in enumerate(lists):
        at = np.flatnonzero(of_asked[one.indices])
        row = np.searchsorted(one.indptr, at, side="right") - 1
        for code, place in zip(codes[one.indices[at]].tolist(), row.tolist(), strict=True):
            rows[code].add((number, place))
    return [pair for pair in meetings if rows[pair.code].isdisjoint(rows[pair.target])]
