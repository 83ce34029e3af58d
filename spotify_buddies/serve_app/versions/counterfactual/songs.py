"""The songs of a listener: which to try for a playlist, and what they are called."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.trainer.bundle import Bundle

Array = npt.NDArray[Any]

# Songs that are left out one by one, to see which tell most. More where more may be left out together.
POOL = 32


class ListenerSongs:
    """Looks at songs of listeners for one bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def pool(self, songs: Array, playlist: int, most: int) -> list[int]:
        """At most POOL of the songs int32 (n,), or `most` where that is more, the most promising for a playlist first.

        Songs of the playlist, then those that its owner shares, then those by its artists, then others; of each kind
        those nearest to the playlist, where the model has factors of songs, else the least known.
        """
        bundle = self._bundle
        kinds = np.full(songs.size, 3, np.int8)
        owner, own = int(bundle.owner[playlist]), bundle.playlist_songs
        if own is not None:
            held = np.asarray(own.row(playlist))
            if bundle.artist_rows is not None:
                artists = np.asarray(bundle.artist_rows)
                kinds[np.isin(artists[songs], artists[held])] = 2
        if owner >= 0:
            kinds[np.isin(songs, bundle.user_songs.row(owner))] = 1
        if own is not None:
            kinds[np.isin(songs, held)] = 0
        order = np.lexsort((songs, self._far(songs, playlist), kinds))
        chosen: list[int] = songs[order[: max(POOL, most)]].tolist()
        return chosen

    def message(self, song: int) -> pb.KnownSong:
        """A song as answers name it."""
        ids = self._bundle.song_ids.table
        place = self._places[song]
        return pb.KnownSong(
            song_id=ids[place] if place >= 0 else "",
            title=self._bundle.song_titles[song],
            artist=self._bundle.song_artists[song],
        )

    def _far(self, songs: Array, playlist: int) -> Array:
        """Small for songs that are near to a playlist, float64 (n,)."""
        bundle = self._bundle
        if bundle.song_factors is None:
            return np.asarray(bundle.song_listeners)[songs].astype(np.float64)
        alone = Csr(np.arange(songs.size + 1), songs, bundle.manifest.songs)
        near: Array = bundle.song_factors(alone) @ bundle.playlist_factors[playlist]
        return -near.astype(np.float64)

    @cached_property
    def _places(self) -> Array:
        """The first id of each song, as its place among ids, int32 (songs,); -1 without one."""
        rows = np.asarray(self._bundle.song_id_rows)
        out = np.full(self._bundle.manifest.songs, -1, np.int32)
        # The last assignment stays, so the first id comes last.
        out[rows[::-1]] = np.arange(rows.size, dtype=np.int32)[::-1]
        return out
