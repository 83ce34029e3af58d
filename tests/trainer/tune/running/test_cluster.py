"""What a trial asks a cluster for."""

from __future__ import annotations

import pytest

from spotify_buddies.trainer.tune.experiment import TuneError
from spotify_buddies.trainer.tune.running.cluster import trial_resources
from spotify_buddies.trainer.tune.settings import TuneSettings

GPUS = {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0}


def test_without_gpus_a_trial_asks_for_processors_alone():
    assert trial_resources(TuneSettings(cpus=2), {"CPU": 2.0}, gpu=False) == {"CPU": 2}


def test_on_gpus_a_trial_takes_half_of_one():
    assert trial_resources(TuneSettings(), GPUS, gpu=True) == {"CPU": 1, "GPU": 0.5}


def test_a_kind_of_gpu_is_asked_for_where_the_cluster_has_it():
    wanted = TuneSettings(accelerator_type="A100")
    assert trial_resources(wanted, GPUS, gpu=True) == {"CPU": 1, "GPU": 0.5, "accelerator_type:A100": 0.001}
    assert trial_resources(wanted, {"CPU": 2.0}, gpu=False) == {"CPU": 1}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"cpus": 9}, r"needs 9 CPU, but the cluster has 8; lower \[tune\] cpus"),
        ({"gpus": 3}, r"needs 3 GPU.*\[tune\] gpus"),
    ],
)
def test_what_even_an_idle_cluster_lacks_is_refused(settings, problem):
    with pytest.raises(TuneError, match=problem):
        trial_resources(TuneSettings(**settings), GPUS, gpu=True)
