"""Steps of the torch backend, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.trainer.models.backends import open_backend
from spotify_buddies.trainer.models.model import initial_model
from spotify_buddies.trainer.settings import TrainSettings


def state(users: int = 6, playlists: int = 5, dimension: int = 4) -> dict[str, np.ndarray]:
    model = initial_model(users, playlists, dimension, seed=1)
    return {"user_factors": model.user_factors, "playlist_factors": model.playlist_factors}


def test_torch_takes_the_step_of_adam_worked_by_hand():
    """Adam's first step is the learning rate in the direction against the gradient, whatever its size."""
    start = state(1, 2, 3)
    settings = TrainSettings(model="bpr", backend="torch", learning_rate=0.1, batch=4)
    fitted = open_backend(settings, start)
    triplets = np.array([[0, 0, 1]], np.int32)
    loss = fitted.step(triplets)
    user, (positive, negative) = start["user_factors"][0], start["playlist_factors"]
    assert loss == pytest.approx(np.logaddexp(0, -user @ (positive - negative)), rel=1e-5)
    after = fitted.model()
    assert np.allclose(after.user_factors[0], user + 0.1 * np.sign(positive - negative), atol=1e-4)
    assert np.allclose(after.playlist_factors[0], positive + 0.1 * np.sign(user), atol=1e-4)
    assert np.allclose(after.playlist_factors[1], negative - 0.1 * np.sign(user), atol=1e-4)


def test_accumulated_batches_equal_one_large_batch():
    rng = np.random.default_rng(0)
    triplets = np.column_stack([rng.integers(0, 6, 8), rng.integers(0, 5, 8), rng.integers(0, 5, 8)]).astype(np.int32)
    models = []
    for batch, accumulate in ((8, 1), (2, 4)):
        settings = TrainSettings(model="bpr", backend="torch", batch=batch, accumulate=accumulate, regularisation=0.1)
        fitted = open_backend(settings, state())
        fitted.step(triplets)
        models.append(fitted.model())
    assert np.allclose(models[0].user_factors, models[1].user_factors, atol=1e-5)
    assert np.allclose(models[0].playlist_factors, models[1].playlist_factors, atol=1e-5)
