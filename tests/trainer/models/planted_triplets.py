"""Triplets of a small planted taste, and trainings on them."""

from __future__ import annotations

import numpy as np

from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.train import train, training_key
from spotify_buddies.trainer.settings import TrainSettings

USERS, PLAYLISTS, GENRES, NEGATIVES = 80, 40, 4, 10
SETTINGS = TrainSettings(model="bpr", dimension=8, epochs=5, seed=3)


def planted_rows(rng: np.random.Generator, per_user: int, negatives: int) -> np.ndarray:
    """User, a playlist of the user's genre, playlists of other genres."""
    rows = []
    for user in np.repeat(np.arange(USERS), per_user):
        own = rng.integers(PLAYLISTS // GENRES) * GENRES + user % GENRES
        others = np.setdiff1d(np.arange(PLAYLISTS), np.arange(user % GENRES, PLAYLISTS, GENRES))
        rows.append((user, own, *rng.choice(others, negatives, replace=False)))
    return rng.permutation(np.array(rows, np.int32))


def fit(triplets, validation, directory, settings=SETTINGS, data="data", **rest) -> Model:
    key = training_key(data, settings)
    return train(triplets, validation, USERS, PLAYLISTS, settings, directory, key=key, **rest)


def same(a: Model, b: Model) -> bool:
    return (
        a.user_factors.tobytes() == b.user_factors.tobytes()
        and a.playlist_factors.tobytes() == b.playlist_factors.tobytes()
    )
