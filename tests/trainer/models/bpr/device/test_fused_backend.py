"""Training with everything on a device, on the CPU device: the same code, and the numbers of the numba kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.backends import open_backend
from spotify_buddies.trainer.models.bpr.device import fused_backend
from spotify_buddies.trainer.models.bpr.device.resident import resident
from spotify_buddies.trainer.models.bpr.numba_backend import START_SQUARES, NumbaBackend
from spotify_buddies.trainer.models.drawn import Drawn
from spotify_buddies.trainer.models.model import TrainingError, initial_model
from spotify_buddies.trainer.models.order import TripletFile
from spotify_buddies.trainer.settings import TrainSettings

SETTINGS = TrainSettings(model="bpr", backend="fused", learning_rate=0.1, regularisation=0.02)
POOLS = Drawn(
    positives=Csr.from_rows([[0, 1, 2], [3], []], 40),
    hard=Csr.from_rows([[10, 11], [12, 13, 14], [15]], 40),
    easy=Csr.from_rows([[20, 21, 22, 23, 24, 25, 26, 27], [], [30]], 40),
    negatives=4,
    hard_share=0.5,
)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    """Where there is a CUDA device too."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def state(users: int = 9, playlists: int = 20, dimension: int = 5) -> dict[str, np.ndarray]:
    model = initial_model(users, playlists, dimension, seed=1)
    return {"user_factors": model.user_factors * 5, "playlist_factors": model.playlist_factors * 5}


def copy(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in arrays.items()}


def assert_alike(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert np.allclose(array, b[name], atol=2e-6), name


def test_one_step_worked_by_hand():
    """u = (1, 0), p = n = (0, 0), as for the kernel: p moves by 0.1 * 0.5 where its sum of squares becomes 1."""
    squares = {"user_squares": np.full(1, 0.875, np.float32), "playlist_squares": np.full(2, 0.875, np.float32)}
    start = {"user_factors": np.array([[1, 0]], np.float32), "playlist_factors": np.zeros((2, 2), np.float32)}
    fitted = open_backend(SETTINGS.model_copy(update={"regularisation": 0.0}), start | squares)
    assert fitted.step(np.array([[0, 0, 1]], np.int32)) == pytest.approx(np.log(2))
    after = fitted.state()
    assert after["user_factors"].tolist() == [[1, 0]]
    assert np.allclose(after["playlist_factors"], [[0.05, 0], [-0.05, 0]])
    assert after["playlist_squares"].tolist() == [1, 1]


def test_rows_that_occur_once_move_as_in_the_numba_kernel():
    triplets = np.array([[4, 0, 10], [2, 7, 13], [8, 3, 19]], np.int32)
    fused = open_backend(SETTINGS, copy(state()))
    numba = NumbaBackend(SETTINGS, 0.1, 0.02, copy(state()))
    assert fused.step(triplets) == pytest.approx(numba.step(triplets), rel=1e-6)
    assert_alike(fused.state(), numba.state())


def test_a_row_that_occurs_twice_moves_by_the_sum_of_its_gradients():
    """Both triplets are of user 0: gradients at the values before, and both in its sum of squares."""
    start = state()
    fused = open_backend(SETTINGS.model_copy(update={"regularisation": 0.0}), copy(start))
    fused.step(np.array([[0, 1, 11], [0, 2, 12]], np.int32))
    user, playlists = start["user_factors"][0], start["playlist_factors"]
    gradients = []
    for p, n in ((1, 11), (2, 12)):
        difference = playlists[p] - playlists[n]
        gradients.append(-difference / (1 + np.exp(user @ difference)))
    squares = START_SQUARES + sum(np.mean(np.square(g)) for g in gradients)
    assert np.allclose(fused.model().user_factors[0], user - 0.1 * sum(gradients) / np.sqrt(squares), atol=1e-6)


def test_no_rows_give_no_loss():
    assert open_backend(SETTINGS, state()).step(np.empty((0, 3), np.int32)) == 0


def test_an_epoch_of_a_file_visits_every_triplet_once(monkeypatch):
    monkeypatch.setattr(fused_backend, "BLOCK", 7)
    seen: list[list[int]] = []
    fitted = open_backend(SETTINGS, state(10, 40))
    learn = fitted._learn
    monkeypatch.setattr(fitted, "_learn", lambda rows, batch: seen.extend(rows.tolist()) or learn(rows, batch))
    at = np.arange(40, dtype=np.int32)
    source = TripletFile(np.stack([at % 10, at, (at + 1) % 40], axis=1), 10, 40)
    counts = [count for _, count in fitted.epoch(source, 3, 1)]
    assert counts == [7, 7, 7, 7, 7, 5]
    assert sorted(seen) == sorted(source.triplets.tolist())
    assert seen != sorted(seen)


def test_resident_pools_draw_as_the_kernel_does():
    data = resident(POOLS, torch.device("cpu"))
    chance = torch.Generator().manual_seed(1)
    rows = np.concatenate([data.triplets(torch.arange(16, dtype=torch.int32), chance).numpy() for _ in range(2_000)])
    assert rows.dtype == np.int32
    ours = np.concatenate([block for epoch in range(1, 2_001) for block in POOLS.blocks(3, epoch)])
    assert Counter(map(tuple, rows[:, :2].tolist())) == Counter(map(tuple, ours[:, :2].tolist()))
    for user, pool in ((0, POOLS.hard.row(0)), (0, POOLS.easy.row(0)), (1, POOLS.hard.row(1))):
        mine = rows[(rows[:, 0] == user) & np.isin(rows[:, 2], pool)]
        assert len(mine) == ((ours[:, 0] == user) & np.isin(ours[:, 2], pool)).sum()
        assert chisquare([(mine[:, 2] == playlist).sum() for playlist in pool]).pvalue > 1e-3
    assert set(map(tuple, rows[:, [0, 2]].tolist())) == set(map(tuple, ours[:, [0, 2]].tolist()))


def test_a_row_out_of_range_is_refused_by_its_position():
    rows = np.zeros((5, 3), np.int32)
    rows[3, 2] = 20
    with pytest.raises(TrainingError, match="triplet 3 is"):
        list(open_backend(SETTINGS, state()).epoch(TripletFile(rows, 9, 20), 1, 1))


def test_the_state_of_one_backend_is_a_start_for_the_other():
    triplets = np.array([[4, 0, 10], [2, 7, 13]], np.int32)
    first = NumbaBackend(SETTINGS, 0.1, 0.02, copy(state()))
    first.step(triplets)
    fused, numba = open_backend(SETTINGS, copy(first.state())), NumbaBackend(SETTINGS, 0.1, 0.02, copy(first.state()))
    fused.step(triplets)
    numba.step(triplets)
    assert_alike(fused.state(), numba.state())


def test_deterministic_sums_leave_torch_as_it_was():
    settings = SETTINGS.model_copy(update={"deterministic": True})
    open_backend(settings, state()).step(np.array([[0, 1, 2]], np.int32))
    assert not torch.are_deterministic_algorithms_enabled()


_TRITON = """
import numpy as np, torch
from spotify_buddies.trainer.models.bpr.device.kernels import update
from spotify_buddies.trainer.models.bpr.kernels import update as numba
rng = np.random.default_rng(0)
for dimension, tile, repeats in ((5, 1, True), (128, 1, True), (5, 4, False), (128, 4, False)):
    draw = rng.integers if repeats else lambda low, high, count: low + rng.permutation(high - low)[:count]
    rows = np.column_stack([draw(0, 30, 13), draw(0, 30, 13), draw(30, 60, 13)]).astype(np.int32)
    ours = [rng.normal(size=(n, dimension)).astype(np.float32) for n in (30, 60)]
    ours += [np.full(n, 0.3, np.float32) for n in (30, 60)]
    theirs = [torch.from_numpy(array.copy()) for array in ours]
    loss = numba(rows, *ours, 0.05, 0.01)
    assert abs(float(update(torch.from_numpy(rows), *theirs, 0.05, 0.01, batch=7, tile=tile)) / loss - 1) < 1e-6
    assert all(np.allclose(a, b.numpy(), atol=2e-6) for a, b in zip(ours, theirs))
"""


_COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from spotify_buddies.trainer.models.bpr.device.kernels import TILE, WARPS, _update
pointers = dict.fromkeys(("users", "playlists", "user_squares", "playlist_squares", "losses"), "*fp32")
numbers = {"count": "i32", "rate": "fp32", "decay": "fp32"}
chosen = {"dimension": 100, "width": 128, "tile": TILE}
kinds = {"triplets": "*i32", **pointers, **numbers, **dict.fromkeys(chosen, "constexpr")}
made = compile(ASTSource(_update, kinds, chosen), target=GPUTarget("cuda", 90, 32), options={"num_warps": WARPS})
assert made.asm["cubin"]
"""

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch's CUDA builds alone")


@needs_triton
def test_the_triton_kernel_compiles_for_a_device_that_is_not_here():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    subprocess.run([sys.executable, "-c", _COMPILE], check=True, env=environment)


@needs_triton
def test_the_triton_kernel_takes_the_numba_kernels_steps():
    """By Triton's interpreter, which runs one program after the other: with one triplet in each, also on equal rows."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", _TRITON], check=True, env=environment)


@pytest.mark.parametrize("most", [5, 15])
def test_the_epochs_of_a_pass_visit_every_place_once(most):
    rows = np.stack([np.zeros(40), np.arange(40), np.arange(40)], axis=1).astype(np.int32)
    backend = open_backend(SETTINGS, state(users=1, playlists=40))
    for source, size in ((TripletFile(rows, 1, 40, most), 40), (replace(POOLS, most=most), 16)):
        seen = []
        held = backend._hold(source)
        backend._hold = lambda _, held=held, seen=seen: _Noted(held, seen)
        for epoch in range(-(-size // most)):
            counts = [count for _, count in backend.epoch(source, 1, epoch + 1)]
            assert 0 < sum(counts) <= most
        assert sorted(seen) == list(range(size))
        del backend._hold


class _Noted:
    """Notes the places that it is asked for."""

    def __init__(self, held, seen):
        self._held, self._seen = held, seen

    def triplets(self, places, chance):
        self._seen.extend(places.tolist())
        rows = self._held.triplets(places, chance)
        rows[:, 0] = 0
        return rows
