"""Drawn triplets: what they may be, how often, and the same as in the file."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chisquare

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.table import Pools, open_dataset
from spotify_buddies.trainer.models.drawn import Drawn, open_source
from spotify_buddies.trainer.models.model import TrainingError
from spotify_buddies.trainer.models.order import TripletFile
from spotify_buddies.trainer.settings import TrainSettings

# Three users over 40 playlists; the third has no positives. The first one's hard pool is a quarter of its easy one.
POSITIVES = Csr.from_rows([[0, 1, 2], [3], []], 40)
HARD = Csr.from_rows([[10, 11], [12, 13, 14], [15]], 40)
EASY = Csr.from_rows([[20, 21, 22, 23, 24, 25, 26, 27], [], [30]], 40)


def drawn(**changes) -> Drawn:
    return replace(Drawn(POSITIVES, HARD, EASY, negatives=4, hard_share=0.5), **changes)


def epoch(source: Drawn, seed: int, number: int) -> np.ndarray:
    return np.concatenate(list(source.blocks(seed, number)))


def test_every_epoch_visits_every_positive_as_often_as_it_has_negatives():
    source = drawn()
    assert len(source) == 16
    for number in (1, 2):
        found = Counter((u, p) for u, p, _ in epoch(source, 7, number).tolist())
        assert found == {(0, 0): 4, (0, 1): 4, (0, 2): 4, (1, 3): 4}


@pytest.mark.parametrize(("share", "from_hard"), [(0.0, 0), (0.3, 1), (0.5, 2), (1.0, 4)])
def test_the_hard_pool_gives_its_share_and_all_where_there_is_no_easy_one(share, from_hard):
    rows = epoch(drawn(hard_share=share), 7, 1)
    for user, positive, negative in rows.tolist():
        assert negative in (set(HARD.row(user)) | set(EASY.row(user))), (user, positive, negative)
    of_first = rows[rows[:, 0] == 0]
    assert np.isin(of_first[:, 2], HARD.row(0)).sum() == 3 * from_hard
    assert np.isin(rows[rows[:, 0] == 1][:, 2], HARD.row(1)).all()


def test_every_playlist_of_a_pool_is_as_likely():
    source = drawn()
    rows = np.concatenate([epoch(source, 7, number) for number in range(1, 2_001)])
    for user, pool in ((0, HARD.row(0)), (0, EASY.row(0)), (1, HARD.row(1))):
        mine = rows[(rows[:, 0] == user) & np.isin(rows[:, 2], pool)]
        assert chisquare([(mine[:, 2] == playlist).sum() for playlist in pool]).pvalue > 1e-3


def test_an_epoch_depends_on_seed_and_number_alone():
    source = drawn()
    assert np.array_equal(epoch(source, 7, 3), epoch(source, 7, 3))
    assert not np.array_equal(epoch(source, 7, 3), epoch(source, 7, 4))
    assert not np.array_equal(epoch(source, 7, 3), epoch(source, 8, 3))


def test_blocks_are_bounded_and_hold_the_same_triplets_as_one(monkeypatch):
    whole = epoch(drawn(), 7, 1)
    monkeypatch.setattr("spotify_buddies.trainer.models.drawn.BLOCK", 5)
    blocks = list(drawn().blocks(7, 1))
    assert [len(block) for block in blocks] == [5, 5, 5, 1]
    assert sorted(np.concatenate(blocks).tolist()) == sorted(whole.tolist())


def test_no_positives_give_no_blocks():
    none = Csr.from_rows([[], [], []], 40)
    assert list(drawn(positives=none).blocks(7, 1)) == []


def test_positives_without_a_pool_are_refused():
    with pytest.raises(TrainingError, match="user row 1 has positives and no pool"):
        drawn(hard=Csr.from_rows([[10], [], [15]], 40))


def test_seen_is_what_can_be_drawn():
    users, playlists = drawn().seen()
    assert users.tolist() == [True, True, False]
    assert np.flatnonzero(playlists).tolist() == [*range(4), *range(10, 16), *range(20, 28), 30]


def with_pools(data):
    toy = np.array([0], np.int32)
    shape = data.playlists
    pools = Pools(
        positives=Csr.from_rows([[1, 2], [3]] + [[]] * (data.users - 2), shape),
        hard=Csr.from_rows([[4], [5]] + [[]] * (data.users - 2), shape),
        easy=Csr.from_rows([[6], [7]] + [[]] * (data.users - 2), shape),
        toy_users=toy,
        negatives=4,
        hard_share=0.5,
    )
    return replace(data, pools=pools)


def test_triplets_are_drawn_unless_there_are_no_pools_or_the_file_is_asked_for(planted):
    without = open_dataset(planted.dataset)
    data = with_pools(without)
    assert isinstance(open_source(without, TrainSettings(model="bpr")), TripletFile)
    assert len(open_source(without, TrainSettings(model="bpr"), toy=True)) == 600
    assert isinstance(open_source(data, TrainSettings(model="bpr", triplets="file")), TripletFile)
    assert isinstance(open_source(data, TrainSettings(model="bpr")), Drawn)
    for settings in (
        TrainSettings(model="bpr", triplets="drawn"),
        TrainSettings(negatives=4),
        TrainSettings(hard_share=0.5),
    ):
        assert len(open_source(data, settings)) == 3 * 4
    asked = open_source(data, TrainSettings(model="bpr", negatives=6, hard_share=1.0))
    assert isinstance(asked, Drawn)
    assert (len(asked), asked.from_hard) == (18, 6)
    toy = open_source(data, TrainSettings(model="bpr", triplets="drawn"), toy=True)
    assert {row[0] for row in np.concatenate(list(toy.blocks(1, 1))).tolist()} == {0}


def test_what_the_data_set_does_not_hold_is_named(planted):
    data = open_dataset(planted.dataset)
    with pytest.raises(TrainingError, match="no pools to draw negatives from"):
        open_source(data, TrainSettings(model="bpr", triplets="drawn"))
    with pytest.raises(TrainingError, match='triplets is "file", but the data set has none'):
        open_source(replace(data, triplets=None), TrainSettings(model="bpr", triplets="file"))
    with pytest.raises(TrainingError, match="its negatives were drawn when it was built"):
        open_source(data, TrainSettings(model="bpr", triplets="file", negatives=2))
    without = replace(with_pools(data), triplets=None)
    assert isinstance(open_source(without, TrainSettings(model="bpr")), Drawn)


@pytest.mark.parametrize("block", [3, 1 << 20])
@pytest.mark.parametrize("most", [1, 5, 15])
def test_the_epochs_of_a_pass_reach_every_positive_as_often_as_it_has_negatives(monkeypatch, block, most):
    monkeypatch.setattr("spotify_buddies.trainer.models.drawn.BLOCK", block)
    source = drawn(most=most)
    epochs = -(-16 // most)
    for number in (0, 1):
        parts = [epoch(source, 7, 1 + number * epochs + at) for at in range(epochs)]
        assert all(0 < len(part) <= most for part in parts)
        found = Counter((u, p) for u, p, _ in np.concatenate(parts).tolist())
        assert found == {(0, 0): 4, (0, 1): 4, (0, 2): 4, (1, 3): 4}


def test_the_epochs_of_a_pass_together_are_the_pass():
    parts = np.concatenate([epoch(drawn(most=5), 7, number) for number in (5, 6, 7, 8)])
    assert sorted(parts.tolist()) == sorted(epoch(drawn(), 7, 2).tolist())


def test_every_place_comes_into_the_first_epoch_as_often():
    """8 of 16 triplets, the four of each positive among them half the time."""
    source = drawn(most=8)
    found = Counter((u, p) for seed in range(2_000) for u, p, _ in epoch(source, seed, 1).tolist())
    assert chisquare(list(found.values())).pvalue > 1e-3
    assert sum(found.values()) == 16_000


def test_a_bound_that_does_not_bind_changes_nothing():
    for number in (1, 2):
        assert np.array_equal(epoch(drawn(), 7, number), epoch(drawn(most=16), 7, number))


def test_the_settings_bound_an_epoch(planted):
    without = open_dataset(planted.dataset)
    settings = TrainSettings(epoch_triplets=5)
    assert [len(open_source(with_pools(without), settings).part(number)) for number in (1, 2, 3, 4)] == [4, 4, 4, 4]
    assert len(open_source(without, settings).part(1)) == 4  # 6,384 in 1,277 parts of 4 or 5
    assert TrainSettings().epoch_triplets == 64_000_000
