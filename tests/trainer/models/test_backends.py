"""Which backend is chosen, and with what."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from spotify_buddies.trainer.models import backends
from spotify_buddies.trainer.models.backends import KINDS, Name, open_backend, recipe
from spotify_buddies.trainer.models.bpr.numba_backend import NumbaBackend
from spotify_buddies.trainer.models.model import initial_model
from spotify_buddies.trainer.settings import TrainSettings


def test_every_name_that_settings_may_choose_has_a_kind():
    fields = TrainSettings.model_fields
    named = {*get_args(fields["backend"].annotation), *get_args(fields["model"].annotation)} - {"auto", "bpr"}
    named.add(recipe(TrainSettings(backend="fused")).backend)  # of both together
    assert named == set(KINDS) == set(get_args(Name))


def test_each_backend_has_its_own_defaults_and_settings_win():
    numba = recipe(TrainSettings(model="bpr", backend="numba"))
    torch = recipe(TrainSettings(model="bpr", backend="torch"))
    assert (numba.learning_rate, numba.regularisation) == (0.05, 0.005)
    assert (torch.learning_rate, torch.regularisation) == (0.005, 0)
    chosen = recipe(TrainSettings(model="bpr", backend="numba", learning_rate=0.2, regularisation=0))
    assert (chosen.learning_rate, chosen.regularisation) == (0.2, 0)


def test_without_a_gpu_auto_is_numba(monkeypatch):
    monkeypatch.setattr(backends, "_GPU_DEVICES", ("/dev/nothing-here",))
    assert recipe(TrainSettings(model="bpr")).backend == "numba"
    model = initial_model(6, 5, 4, seed=1)
    start = {"user_factors": model.user_factors, "playlist_factors": model.playlist_factors}
    assert isinstance(open_backend(TrainSettings(model="bpr"), start), NumbaBackend)


@pytest.mark.parametrize(
    ("backend", "expected"),
    [("auto", "hybrid"), ("numba", "hybrid"), ("torch", "hybrid"), ("fused", "hybrid_fused")],
)
def test_the_hybrid_model_is_trained_by_torch_where_that_is_asked_for(backend, expected, monkeypatch):
    monkeypatch.setattr(backends, "_GPU_DEVICES", ("/dev/nothing-here",))
    assert recipe(TrainSettings(backend=backend)).backend == expected


def test_auto_trains_the_hybrid_model_on_a_cuda_device(monkeypatch):
    import torch

    monkeypatch.setattr(backends, "_GPU_DEVICES", ("/dev/null",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    chosen = recipe(TrainSettings())
    assert chosen == recipe(TrainSettings(backend="fused"))
    assert (chosen.backend, chosen.learning_rate, chosen.regularisation) == ("hybrid_fused", 0.005, 0.0)
    assert recipe(TrainSettings(backend="numba")).backend == "hybrid"


def test_auto_asks_torch_where_there_is_a_gpu_device(monkeypatch):
    import torch

    monkeypatch.setattr(backends, "_GPU_DEVICES", ("/dev/null",))
    assert recipe(TrainSettings(model="bpr")).backend == ("fused" if torch.cuda.is_available() else "numba")


def test_training_does_not_import_torch_unless_it_is_used():
    code = (
        "import sys, spotify_buddies.trainer.publish.release, spotify_buddies.trainer.models.backends as b\n"
        "b._GPU_DEVICES = ()\n"
        "b.recipe(b.TrainSettings(model='bpr'))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
