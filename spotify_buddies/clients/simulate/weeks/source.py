"""What the world is made of: the users, songs and playlists of a finished data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.clients.python import Song
from spotify_buddies.clients.simulate.audience import Audience, AudienceError, open_audience
from spotify_buddies.foundation.arrays.csr import Csr

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class WorldSource:
    """user_ids, playlist_ids: by row. user_songs (U x S), playlist_songs (P x S): binary, ascending.

    audience: the likes by split. songs: by song row, as a taste names them; one without a name and an id is empty.
    """

    audience: Audience
    user_ids: Sequence[str]
    playlist_ids: Sequence[str]
    user_songs: Csr
    playlist_songs: Csr
    songs: Sequence[Song]


def open_source(dataset: Path) -> WorldSource:
    """Open a finished data set (docs/formats.md). AudienceError: it is not one, or holds too little."""
    import polars as pl

    audience = open_audience(dataset)
    try:
        users, playlists = (Csr.load(dataset / "3-matrix", name) for name in ("user_songs", "playlist_songs"))
        tables = {
            name: pl.read_parquet(dataset / "2-songs" / f"{name}.parquet", columns=columns)
            for name, columns in (
                ("users", ["user_id"]), ("playlists", ["playlist_id"]), ("songs", ["title", "artist"]),
                ("song_ids", ["song_id", "song_row"]),
            )
        }  # fmt: skip
    except FileNotFoundError as error:
        raise AudienceError(f"{error.filename or dataset}: not there; run `buddies data build` again") from error
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise AudienceError(
            f"{dataset}: not readable as a data set: {error}; run `buddies data build` again"
        ) from error
    ids = tables["users"]["user_id"].to_list(), tables["playlists"]["playlist_id"].to_list()
    if (users.rows, playlists.rows, users.columns) != (len(ids[0]), len(ids[1]), tables["songs"].height):
        raise AudienceError(f"{dataset}: its parts do not fit each other; run `buddies data build` again")
    return WorldSource(audience, *ids, users, playlists, _songs(tables["songs"], tables["song_ids"]))


def _songs(names: Any, ids: Any) -> list[Song]:
    """By id where the listening data has one, else by name."""
    by_row: dict[int, str] = {}
    for song_id, row in zip(ids["song_id"].to_list(), ids["song_row"].to_list(), strict=True):
        by_row.setdefault(row, song_id)
    rows = zip(names["title"].to_list(), names["artist"].to_list(), strict=True)
    return [
        Song(song_id=by_row[row]) if row in by_row else Song(title=title or "", artist=artist or "")
        for row, (title, artist) in enumerate(rows)
    ]


def nearness(songs: Csr, playlist_songs: Csr) -> Any:
    """Cosine of every song set with every playlist, a scipy matrix (sets, playlists) without the zeros."""
    import scipy.sparse as sp

    shared = sp.csr_array(songs.to_scipy() @ playlist_songs.to_scipy().T)
    sizes = [np.sqrt(np.maximum(counts, 1)).astype(np.float32) for counts in (songs.counts, playlist_songs.counts)]
    shared.data /= np.repeat(sizes[0], np.diff(shared.indptr)) * sizes[1][shared.indices]
    return shared


def themes(near: Any, count: int, seed: int) -> Array:
    """The theme of every playlist, int (playlists,), of `count` at most: playlists that are near the same people.

    k-means (Lloyd 1982) of the leading singular vectors of `near`, each playlist of length one.
    """
    import warnings

    import scipy.sparse.linalg
    from scipy.cluster.vq import kmeans2

    rank = min(count, *(side - 1 for side in near.shape))
    if rank < 2:
        return np.zeros(near.shape[1], np.int64)
    # The start of the iteration is given, and what is left of it rounded, so that a seed means the same themes.
    start = np.ones(min(near.shape), np.float64)
    _, weights, right = scipy.sparse.linalg.svds(near.astype(np.float64), k=rank, v0=start)
    places = (right * weights[:, None]).T
    places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a theme without playlists is one theme less
        _, labels = kmeans2(places.round(6), rank, minit="++", seed=seed, iter=20)
    return np.asarray(labels, np.int64)
