"""What people see while the models of a comparison are trained."""

from __future__ import annotations

import io

from spotify_buddies.foundation.stages.progress import Reporter
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.models.peers import train_peers
from spotify_buddies.trainer.settings import TrainSettings


def test_lines_and_last_sentences_name_the_model_that_is_trained(planted, tmp_path):
    out = io.StringIO()
    settings = TrainSettings(model="bpr", backend="numba", dimension=4, epochs=1)
    train_peers(open_dataset(planted.dataset), settings, tmp_path, progress=Reporter(out, every_s=0.0))
    lines = out.getvalue().splitlines()
    for name in ("bpr", "recipe"):
        assert any(line.startswith(f"{name}: ") and "triplets" in line for line in lines), lines
        assert any(line.startswith(f"{name}: training ended after all 1 epochs") for line in lines), lines
    assert not [line for line in lines if line.startswith("training")]
