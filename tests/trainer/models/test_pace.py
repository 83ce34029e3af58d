"""Steps and settings of the hybrid model where labels are real."""

from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.trainer.dataset.table import FOLLOWS, SIMULATED
from spotify_buddies.trainer.models.order import TripletFile
from spotify_buddies.trainer.models.pace import LEAST, STEPS, Paced, paced, suited
from spotify_buddies.trainer.models.train import patience_of, steps_of
from spotify_buddies.trainer.settings import TrainSettings


def source(count: int) -> TripletFile:
    rng = np.random.default_rng(2)
    triplets = np.stack([rng.integers(0, 50, count), rng.integers(0, 30, count), np.arange(count) % 30], axis=1)
    return TripletFile(triplets.astype(np.int32), 50, 30)


@pytest.mark.parametrize(("count", "steps"), [(300_000, STEPS), (20_000, 5), (100, 1)])
def test_an_epoch_has_many_steps_unless_they_would_be_tiny(count, steps):
    cut, settings = paced(source(count), TrainSettings())
    pieces = list(cut.blocks(1, 1))
    assert len(pieces) == pytest.approx(steps, abs=1)
    assert steps_of(settings, cut) == pytest.approx(steps, abs=1)
    if len(pieces) > 1:
        assert min(map(len, pieces)) >= settings.hybrid_batch
        assert min(map(len, pieces)) > LEAST / 2
        assert patience_of(settings, cut) >= 60 / steps


def test_the_pieces_are_the_epochs_triplets_and_the_same_every_time():
    whole = source(30_000)
    cut, _ = paced(whole, TrainSettings())
    first, again, later = (np.concatenate(list(cut.blocks(1, epoch))) for epoch in (1, 1, 2))
    assert (first == again).all()
    assert not (first == later).all()
    expected = np.concatenate(list(whole.blocks(1, 1)))
    assert (np.sort(first.view("i4,i4,i4").ravel()) == np.sort(expected.view("i4,i4,i4").ravel())).all()


def test_each_piece_holds_users_from_everywhere():
    cut, _ = paced(source(60_000), TrainSettings())
    assert all(np.unique(piece[:, 0]).size == 50 for piece in cut.blocks(1, 1))


def test_a_step_is_never_larger_than_asked_for_and_other_models_keep_their_order():
    cut, settings = paced(source(300_000), TrainSettings(hybrid_batch=5_000))
    assert isinstance(cut, Paced)
    assert cut.rows == 5_000
    assert settings.hybrid_batch <= 5_000
    whole, plain = source(300_000), TrainSettings(model="bpr")
    assert paced(whole, plain) == (whole, plain)


def test_taste_weighs_less_for_real_labels_unless_somebody_set_it():
    assert suited(TrainSettings(), SIMULATED) == TrainSettings()
    assert suited(TrainSettings(), FOLLOWS).taste_weight == 5
    assert suited(TrainSettings(taste_weight=20), FOLLOWS).taste_weight == 20
    assert suited(TrainSettings(), FOLLOWS).taste_artist_weight == 0.25
    assert not suited(TrainSettings(taste_weight=20, lower_hubs=True), FOLLOWS).lower_hubs
    assert suited(suited(TrainSettings(), FOLLOWS), FOLLOWS) == suited(TrainSettings(), FOLLOWS)
