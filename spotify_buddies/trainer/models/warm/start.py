"""The start of a training where a version serves already: what it knows of songs and playlists, and not chance.

Of the hybrid model a bundle has what each song adds to the taste and to the likes, and the playlists' factors. Users
begin as the sum of their songs, as everybody does whom the version had not seen: their own part of the likes is weighed
in a bundle by how many they have, and cannot be read back. Of plain BPR it has the factors of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.models.hybrid.songs import Feature, SongSets, feature
from spotify_buddies.trainer.models.hybrid.state import first_state, likes_end, taste_dimensions
from spotify_buddies.trainer.models.hybrid.taste import TasteBasis
from spotify_buddies.trainer.models.model import initial_model
from spotify_buddies.trainer.models.warm.rows import songs_of
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]

State = Mapping[str, Array]


def warm_start(bundle: Bundle, data: Dataset, sets: SongSets | None, settings: TrainSettings) -> State | None:
    """The state that a training of the data set begins with; None where the bundle is of another model or size.

    sets: the song sets of a hybrid model, None of plain BPR. Who and what the bundle does not know begins as in a
    training without a start: of the hybrid model with what its songs and artists add up to.
    """
    if sets is None:
        return _factors(bundle, data, settings)
    songs = bundle.song_factors
    if songs is None or songs.taste.shape[1] != taste_dimensions(settings):
        return None
    rows = songs_of(bundle, data)
    of_likes, of_taste = feature(sets, settings.artist_weight), feature(sets, settings.taste_artist_weight)
    width = likes_end(settings) - taste_dimensions(settings)
    taste = _basis(of_taste, _known(np.asarray(songs.taste), rows, songs.taste.shape[1]), rows)
    likes = _basis(of_likes, _known(np.asarray(songs.likes), rows, width), rows)
    first = songs.taste.shape[1]
    playlists = bundle.playlist_ids.find(data.playlist_table["playlist_id"].to_list())
    known = np.flatnonzero(playlists >= 0)
    held = np.asarray(bundle.playlist_factors)[playlists[known], first : first + songs.likes.shape[1]]
    return first_state(of_likes, of_taste, settings, taste, likes, (known, _wide(held, width)))


def _known(vectors: Array, rows: Array, width: int) -> Array:
    """The vectors of the songs now, float32 (S, width); zeros where rows says -1."""
    found = np.zeros((rows.size, width), np.float32)
    known = rows >= 0
    found[known] = _wide(vectors[rows[known]].astype(np.float32), width)
    return found


def _wide(table: Array, width: int) -> Array:
    """The first `width` columns; zeros behind the last one."""
    wide = np.zeros((len(table), width), np.float32)
    common = min(width, table.shape[1])
    wide[:, :common] = table[:, :common]
    return wide


def _basis(rows: Feature, vectors: Array, known: Array) -> TasteBasis:
    """Songs and artists that add up to the vectors float32 (S, d) of the known songs, int32 (S,), not -1.

    An artist gets the mean of its known songs, so that a new song of it is near to them; a song the rest.
    """
    artist, weights = rows.sets.artist, rows.artist_weights
    artists = np.zeros((weights.size, vectors.shape[1]), np.float32)
    named = np.flatnonzero((known >= 0) & (artist >= 0))
    order = named[np.argsort(artist[named], kind="stable")]
    if order.size:
        first = np.flatnonzero(np.diff(artist[order], prepend=-1))
        counts = np.diff(first, append=order.size)
        artists[artist[order[first]]] = np.add.reduceat(vectors[order], first, axis=0) / counts[:, None]
    some = weights > 0
    artists[~some] = 0
    mean = np.where((artist >= 0)[:, None], artists[np.maximum(artist, 0)], np.float32(0)) if weights.size else 0.0
    artists[some] /= weights[some, None]
    rest = np.where((known >= 0)[:, None], vectors - mean, np.float32(0))
    counted = rows.song_weights[:, None]
    songs = np.divide(rest, counted, out=np.zeros_like(rest), where=counted > 0)
    return TasteBasis(songs.astype(np.float32), artists)


def _factors(bundle: Bundle, data: Dataset, settings: TrainSettings) -> State | None:
    if bundle.song_factors is not None or bundle.user_factors.shape[1] != settings.dimension:
        return None
    start = initial_model(data.users, data.playlists, settings.dimension, settings.seed)
    users, playlists = np.array(start.user_factors), np.array(start.playlist_factors)
    for table, factors, index, ids in (
        (users, bundle.user_factors, bundle.user_ids, data.user_table["user_id"]),
        (playlists, bundle.playlist_factors, bundle.playlist_ids, data.playlist_table["playlist_id"]),
    ):
        rows = index.find(ids.to_list())
        table[rows >= 0] = np.asarray(factors)[rows[rows >= 0]]
    return {"user_factors": users, "playlist_factors": playlists}
