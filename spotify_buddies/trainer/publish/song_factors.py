"""Song factors of a trained hybrid model, as serving sums them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.bundle import SongFactors
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.models.fit import song_sets
from spotify_buddies.trainer.models.hybrid.songs import feature
from spotify_buddies.trainer.models.hybrid.state import likes_end
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]

LEARNED_OF_SONGS = ("songs", "artists", "taste_songs", "taste_artists")


def song_factors(data: Dataset, settings: TrainSettings, tensors: Mapping[str, Array]) -> SongFactors:
    """What the training on `data` under `settings` learned of songs.

    tensors: its best epoch's, of which LEARNED_OF_SONGS are read.
    """
    sets = song_sets(data)
    rows, of_taste = feature(sets, settings.artist_weight), feature(sets, settings.taste_artist_weight)
    taste = of_taste.vectors(tensors["taste_songs"], tensors["taste_artists"]).astype(np.float16)
    likes = rows.vectors(tensors["songs"], tensors["artists"]).astype(np.float16)
    length = np.array([np.sqrt(settings.taste_weight)], np.float32)
    hubs = np.ones(1, np.float32) if likes_end(settings) < settings.dimension else None
    # Songs of a single set join nothing and count in the length all the same.
    return SongFactors(taste, likes, rows.all_weights, length, tail=hubs)
