"""The hybrid model on a device, on the CPU device: the same code, and the numbers of the numba backend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.metrics.ranking import FactorScorer, ranks, summarise
from spotify_buddies.trainer.models.backends import open_backend
from spotify_buddies.trainer.models.drawn import open_source
from spotify_buddies.trainer.models.fit import fit, song_sets
from spotify_buddies.trainer.models.hybrid.backend import HybridBackend, start_state
from spotify_buddies.trainer.models.hybrid.device import device_backend, song_sums
from spotify_buddies.trainer.models.hybrid.device.device_backend import HybridDeviceBackend
from spotify_buddies.trainer.models.hybrid.device.song_sums import Bags, SongSums
from spotify_buddies.trainer.models.hybrid.songs import SongSets, feature
from spotify_buddies.trainer.models.hybrid.taste import artist_gradient, give_back
from spotify_buddies.trainer.models.train import training_key
from spotify_buddies.trainer.settings import TrainSettings

RATE, DECAY = 0.01, 0.01
# At its usual weight the taste alone knows the planted likes, and nothing is left to learn.
SETTINGS = TrainSettings(
    backend="fused",
    dimension=16,
    taste_weight=0.5,
    hybrid_batch=1_500,
    seed=3,
    triplets="file",
    learning_rate=RATE,
    regularisation=DECAY,
)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    """Where there is a CUDA device too; and with gradients gathered in more than one piece."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device_backend, "at_once", lambda dimension: 1_000)


@pytest.fixture(scope="module")
def data(planted):
    return open_dataset(planted.dataset)


@pytest.fixture(scope="module")
def sets(data):
    """A fifth of the songs has no artist."""
    known = song_sets(data)
    return replace(known, artist=np.where(np.arange(known.songs) % 5, np.arange(known.songs) // 9, -1).astype(np.int32))


@pytest.fixture(scope="module")
def start(sets):
    return start_state(feature(sets, SETTINGS.artist_weight), SETTINGS)


@pytest.fixture
def both(sets, start):
    """By numba and by torch, from one state."""
    numba = HybridBackend(SETTINGS, RATE, DECAY, sets, copy(start))
    return numba, HybridDeviceBackend(SETTINGS, RATE, DECAY, sets, start)


def copy(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def learn(backend, source, epochs):
    return [found for epoch in epochs for found in backend.epoch(source, SETTINGS.seed, epoch)]


def assert_alike(a, b, close=1e-4):
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert (array.dtype, array.shape) == (b[name].dtype, b[name].shape), name
        assert np.allclose(array, b[name], rtol=close, atol=close), name


def test_a_step_is_that_of_the_numba_backend(both, data, start):
    numba, device = both
    triplets = np.array(data.triplets)
    assert device.step(triplets) == pytest.approx(numba.step(triplets), rel=1e-6)
    assert_alike(device.state(), numba.state())
    for name in ("songs", "artists", "user_own", "playlist_own", "user_factors", "playlist_factors"):
        assert np.abs(device.state()[name] - start[name]).max() > 0.9 * RATE, name


def test_epochs_are_those_of_the_numba_backend(both, data):
    numba, device = both
    source = open_source(data, SETTINGS)
    ours, theirs = learn(numba, source, range(1, 5)), learn(device, source, range(1, 5))
    assert [count for _, count in ours] == [count for _, count in theirs]
    assert len(ours) >= 4
    assert [loss for loss, _ in theirs] == pytest.approx([loss for loss, _ in ours], rel=1e-4)
    assert_alike(device.state(), numba.state())
    held_out = np.asarray(data.test)
    found = [summarise(ranks(held_out, FactorScorer(backend.model())))["mrr"] for backend in both]
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_the_state_of_one_backend_goes_on_in_the_other(sets, both, data):
    source = open_source(data, SETTINGS)
    straight = HybridBackend(SETTINGS, RATE, DECAY, sets, copy(both[0].state()))
    learn(straight, source, (1, 2, 3))
    learn(both[0], source, (1,))
    there = HybridDeviceBackend(SETTINGS, RATE, DECAY, sets, both[0].state())
    learn(there, source, (2,))
    back = HybridBackend(SETTINGS, RATE, DECAY, sets, copy(there.state()))
    learn(back, source, (3,))
    assert_alike(back.state(), straight.state())
    assert back.state()["steps"].tolist() == straight.state()["steps"].tolist()


def test_its_own_start_is_that_of_the_numba_backend(sets, start):
    opened = open_backend(SETTINGS, {}, sets)
    assert isinstance(opened, HybridDeviceBackend)
    assert_alike(opened.state(), {**start, "steps": np.zeros(1, np.int64)}, close=0)


def test_the_callers_state_stays_as_it_is(sets, start, data):
    before = copy(start)
    HybridDeviceBackend(SETTINGS, RATE, DECAY, sets, start).step(np.array(data.triplets))
    assert all(start[name].tobytes() == array.tobytes() for name, array in before.items())


@pytest.mark.parametrize("deterministic", [False, True])
def test_two_runs_have_the_same_bytes_on_a_cpu(sets, start, data, deterministic):
    settings = SETTINGS.model_copy(update={"deterministic": deterministic})
    found = []
    for _ in range(2):
        backend = HybridDeviceBackend(settings, RATE, DECAY, sets, start)
        learn(backend, open_source(data, settings), (1, 2))
        found.append({name: array.tobytes() for name, array in backend.state().items()})
    assert found[0] == found[1]
    assert not torch.are_deterministic_algorithms_enabled()


def test_sums_by_row_are_asked_for_in_a_fixed_order_where_that_is_wanted(sets, start, data, monkeypatch):
    asked = []
    gather = device_backend.gather

    def noted(*arguments):
        asked.append(torch.are_deterministic_algorithms_enabled())
        return gather(*arguments)

    monkeypatch.setattr(device_backend, "gather", noted)
    for wanted in (True, False):
        settings = SETTINGS.model_copy(update={"deterministic": wanted})
        HybridDeviceBackend(settings, RATE, DECAY, sets, start).step(np.array(data.triplets[:5]))
    assert asked == [True, False]


def test_no_triplets_are_no_step(both):
    for backend in both:
        before = copy(backend.state())
        assert backend.step(np.empty((0, 3), np.int32)) == 0
        assert all(backend.state()[name].tobytes() == array.tobytes() for name, array in before.items())


def test_the_pieces_that_gradients_are_gathered_in_change_little(sets, start, data, monkeypatch):
    found = []
    for most in (7, 10**9):
        monkeypatch.setattr(device_backend, "at_once", lambda _, most=most: most)
        backend = HybridDeviceBackend(SETTINGS, RATE, DECAY, sets, start)
        backend.step(np.array(data.triplets[:500]))
        found.append(backend.state())
    assert_alike(*found)


@pytest.mark.parametrize("longest", [1, 2, 1_024])
def test_sums_over_song_sets_and_back_are_those_of_the_compiled_loops(longest, monkeypatch):
    """Rows without songs, songs without a set or an artist, and rows that are added up in pieces."""
    monkeypatch.setattr(song_sums, "LONGEST", longest)
    users = Csr.from_rows([[], [0, 1, 2, 3, 4], [4], [], [1, 3]], 7)
    playlists = Csr.from_rows([[0, 1, 4], [], [1, 3, 4, 5]], 7)
    rows = feature(SongSets(users, playlists, np.array([1, -1, 0, 1, 1, -1, 3], np.int32)), 0.5)
    sums, rng = SongSums(rows, CPU), np.random.default_rng(1)
    songs, artists = rng.standard_normal((7, 3), np.float32), rng.standard_normal((4, 3), np.float32)
    vectors = rows.vectors(songs, artists)
    assert sums.vectors(torch.from_numpy(songs), torch.from_numpy(artists)).numpy() == pytest.approx(vectors, abs=1e-6)
    assert sums.artist_gradient(torch.from_numpy(songs)).numpy() == pytest.approx(
        artist_gradient(rows, songs), abs=1e-6
    )
    for part, sets in enumerate((users, playlists)):
        assert sums.rows(part, torch.from_numpy(vectors)).numpy() == pytest.approx(rows.rows(part, vectors), abs=1e-6)
        given = rng.standard_normal((sets.rows, 3), np.float32)
        expected = np.zeros((7, 3), np.float32)
        give_back(rows, part, given, expected)
        assert sums.give_back(part, torch.from_numpy(given)).numpy() == pytest.approx(expected, abs=1e-6)


def test_bags_of_nothing_sum_to_nothing():
    nothing = np.empty(0, np.int32)
    assert Bags(np.zeros(1, np.int64), nothing, CPU).sums(torch.ones(2, 3)).shape == (0, 3)
    assert Bags(np.zeros(3, np.int64), nothing, CPU).sums(torch.ones(0, 3)).tolist() == [[0] * 3] * 2


def test_song_sets_of_which_no_artist_is_known(data):
    known = song_sets(data)
    sets = replace(known, artist=np.full(known.songs, -1, np.int32))
    numba, device = (kind(SETTINGS, RATE, DECAY, sets, {}) for kind in (HybridBackend, HybridDeviceBackend))
    for backend in (numba, device):
        backend.step(np.array(data.triplets))
    assert_alike(device.state(), numba.state())


def test_an_interrupted_training_ends_with_the_same_factors(data, tmp_path):
    settings = SETTINGS.model_copy(update={"epochs": 4})
    key = training_key(data.fingerprint, settings)
    whole = fit(data, settings, tmp_path / "whole", key=key)

    def stop(report):
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(data, settings, tmp_path / "cut", key=key, on_epoch=stop)
    again = fit(data, settings, tmp_path / "cut", key=key)
    assert again.user_factors.tobytes() == whole.user_factors.tobytes()
    assert again.playlist_factors.tobytes() == whole.playlist_factors.tobytes()
    assert key != training_key(data.fingerprint, settings.model_copy(update={"backend": "numba"}))


def test_it_learns_the_planted_taste(data, tmp_path):
    settings = TrainSettings(backend="fused", dimension=16, epochs=10)
    model = fit(data, settings, tmp_path, key=training_key(data.fingerprint, settings))
    assert summarise(ranks(np.asarray(data.test), FactorScorer(model)))["mrr"] > 0.9


def test_without_song_sets_it_is_refused():
    with pytest.raises(ValueError, match="needs song sets"):
        open_backend(SETTINGS, {})
