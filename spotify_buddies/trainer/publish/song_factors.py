"""Song factors of a trained hybrid model, as serving sums them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.bundle import SongFactors
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.models.fit import song_sets
from spotify_buddies.trainer.models.hybrid.backend import taste_dimensions
from spotify_buddies.trainer.models.hybrid.songs import feature
from spotify_buddies.trainer.models.hybrid.taste import fit_taste
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]


def song_factors(
    data: Dataset, settings: TrainSettings, tensors: Mapping[str, Array], progress: Progress = silent
) -> SongFactors:
    """What the training on `data` under `settings` learned of songs; tensors: its best epoch's "songs" and "artists".

    The taste is fitted once more, to the same bytes, since it is no part of what training keeps.
    """
    rows = feature(song_sets(data), settings.artist_weight)
    width = taste_dimensions(settings)
    basis = fit_taste(rows, max(width, settings.dimension - width), settings.seed, progress)
    taste = rows.vectors(basis.songs[:, :width], basis.artists[:, :width]).astype(np.float16)
    del basis
    likes = rows.vectors(tensors["songs"], tensors["artists"]).astype(np.float16)
    sets = rows.sets.parts
    documents = sum(part.rows for part in sets)
    frequency = sum((part.column_counts() for part in sets), np.zeros(data.songs, np.int64))
    # Songs of a single set join nothing and count in the length all the same.
    weights = (np.log((1.0 + documents) / (1.0 + frequency)) + 1.0).astype(np.float32)
    return SongFactors(taste, likes, weights, np.array([np.sqrt(settings.taste_weight)], np.float32))
