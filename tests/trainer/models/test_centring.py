"""What all users share, taken out of every user."""

from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.trainer.metrics.ranking import FactorScorer
from spotify_buddies.trainer.models.centring import SHARES, Centred
from spotify_buddies.trainer.models.model import Model

# Two users agree on the first dimension; the third is not learned and does not count.
MODEL = Model(
    np.array([[2, 1], [2, -1], [100, 100]], np.float32), np.array([[0, 1], [0, -1], [1, 0], [0.6, 1]], np.float32)
)
LEARNED = np.array([True, True, False])
PAIRS = np.repeat(np.arange(3, dtype=np.int32), 4), np.tile(np.arange(4, dtype=np.int32), 3)


def test_the_mean_is_of_the_learned_users():
    assert Centred.of(MODEL, LEARNED).mean.tolist() == [2, 0]
    assert Centred.of(MODEL, np.zeros(3, np.bool_)).mean.tolist() == [0, 0]


def test_a_share_of_the_mean_is_taken_out_of_every_user():
    half = Centred.of(MODEL, LEARNED).take(0.5)
    assert half.user_factors.tolist() == [[1, 1], [1, -1], [99, 100]]
    assert half.playlist_factors is MODEL.playlist_factors
    assert Centred.of(MODEL, LEARNED).take(0.0) is MODEL


@pytest.mark.parametrize("share", SHARES)
def test_scores_are_those_of_the_model_that_is_left(share):
    centred = Centred.of(MODEL, LEARNED)
    assert np.allclose(centred.scorer(share)(*PAIRS), FactorScorer(centred.take(share))(*PAIRS), atol=1e-4)


def test_the_smallest_share_with_the_best_mrr_is_chosen():
    """User 0 scores playlist 0 with 1 and playlist 2 with 2 - 2c: first from above c = 0.5 on, a tie at 0.5."""
    centred = Centred.of(MODEL, LEARNED)
    assert centred.choose(np.array([[0, 0, 2]], np.int32)) == 0.6
    assert centred.choose(np.array([[0, 2, 0]], np.int32)) == 0
    # Two rows that pull apart: each of c = 0 .. 0.4 and 0.6 .. 1 ranks one first and one second.
    assert centred.choose(np.array([[0, 0, 2], [0, 2, 0]], np.int32)) == 0
    assert centred.choose(np.empty((0, 4), np.int32)) == 0
