"""Contents of a bundle, from a data set, its pairing and a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.result import INDEX
from spotify_buddies.trainer.bundle import BundleParts, SongFactors
from spotify_buddies.trainer.bundle.nearest_index import NearestIndex
from spotify_buddies.trainer.candidates.popular import most_popular
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.models.hybrid.songs import artist_rows
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.publish.follows import follows_of
from spotify_buddies.trainer.publish.genres import Tastes, find_genres
from spotify_buddies.trainer.publish.sketches import sketch

Array = npt.NDArray[Any]


def bundle_parts(
    data: Dataset,
    pairing: Path,
    candidates: Csr,
    model: Model,
    *,
    training: Mapping[str, Any],
    metrics: Mapping[str, float],
    taste: int | None = None,
    songs: SongFactors | None = None,
    sources: Array | None = None,
    scale: Array | None = None,
    nearest: NearestIndex | None = None,
    progress: Progress = silent,
) -> BundleParts:
    """What a bundle of a model of this data set and pairing holds. training, metrics: for people, JSON values.

    taste: how many of the first dimensions hold the taste, in which genres are found; None: all of them. songs: what
    the hybrid model learned of them. candidates.values: offsets, see BundleParts. sources: uint8, a mask per candidate.
    scale: as Bundle.retrieval_scale, with nearest, the index of it, where there is one. Without a scale the bundle is
    as those of the pairing alone: it holds neither songs of playlists nor artists.
    """
    likes = data.count_train_likes()
    genres = find_genres(
        Tastes(data.playlist_songs, model.playlist_factors[:, :taste]),
        Tastes(data.user_songs, model.user_factors[:, :taste]),
        likes,
        seed=0,
    )
    popular = most_popular(likes)
    ids, names, playlists = data.song_id_table, data.song_table, data.playlist_table
    aliases = data.song_alias_table
    follows = follows_of(data, progress)
    return BundleParts(
        user_factors=model.user_factors,
        playlist_factors=model.playlist_factors,
        candidates=candidates,
        user_songs=data.user_songs,
        owned=data.owned,
        owner=data.owner,
        popular=popular,
        popular_scores=likes[popular],
        sketches=sketch(data.playlist_songs, progress),
        song_genres=genres.songs,
        genre_popular=genres.popular,
        user_ids=data.user_table["user_id"].to_list(),
        playlist_ids=playlists["playlist_id"].to_list(),
        playlist_titles=playlists["title"].fill_null("").to_list(),
        song_titles=names["title"].fill_null("").to_list(),
        song_artists=names["artist"].fill_null("").to_list(),
        song_ids=ids["song_id"].to_list(),
        song_id_rows=ids["song_row"].to_numpy(),
        song_aliases=aliases["key"].to_list(),
        song_alias_rows=aliases["song_row"].to_numpy(),
        index=pairing / INDEX,
        matching="full" if data.matching == "full" else "plain",
        dataset_fingerprint=data.fingerprint,
        training=training,
        metrics=metrics,
        song_factors=songs,
        candidate_sources=sources,
        retrieval_scale=scale,
        playlist_songs=None if scale is None else data.playlist_songs,
        artist_rows=None if scale is None else _artists(data),
        followed=follows.followed,
        co_followers=follows.co_followers,
        refused=follows.refused,
        nearest=nearest,
    )


def _artists(data: Dataset) -> Array | None:
    """As Bundle.artist_rows: None where no song has an artist, as in data sets of numbers."""
    artists = artist_rows(data.song_table, data.matching)
    return artists if (artists >= 0).any() else None
