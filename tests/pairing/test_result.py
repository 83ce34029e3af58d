"""A pairing is that of one data set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spotify_buddies.foundation.stages.stage import StageError
from spotify_buddies.pairing.build import build_pairing
from spotify_buddies.pairing.result import load_pairing
from spotify_buddies.pairing.settings import PairingSettings
from tests.pairing.conftest import clustered, csr

OWNED = [[2 * i, 2 * i + 1] for i in range(60)]


@pytest.fixture
def paired(make_dataset: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    dataset = make_dataset(clustered(60, 90, 3, seed=1), csr(OWNED, 120))
    build_pairing(dataset, tmp_path / "pairing", PairingSettings(dimension=8))
    return tmp_path / "pairing", dataset


def test_a_pairing_of_the_data_set_is_opened_with_its_stamps(paired):
    found = load_pairing(*paired)
    assert set(found) == {"nearest", "candidates", "index"}
    assert found["candidates"].inputs["nearest"] == found["nearest"].fingerprint


@pytest.mark.parametrize(
    ("name", "earlier"),
    [
        ("nearest", "3-matrix"),
        ("nearest", "6-split/user_kind.npy"),
        ("candidates", "3-matrix"),
        ("candidates", "7-own"),
        ("candidates", "nearest"),
        ("index", "3-matrix"),
        ("index", "6-split/user_kind.npy"),
    ],
)
def test_a_stage_made_from_anything_else_is_refused(paired, name, earlier):
    pairing, dataset = paired
    path = pairing / name / "stage.json"
    stamp = json.loads(path.read_text())
    stamp["inputs"][earlier] = "0" * 64
    path.write_text(json.dumps(stamp))
    with pytest.raises(StageError, match="buddies pair build"):
        load_pairing(pairing, dataset)


def test_a_pairing_that_names_no_input_is_refused(paired):
    path = paired[0] / "index" / "stage.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "inputs": {}}))
    with pytest.raises(StageError, match="index: made from another '3-matrix' than that of"):
        load_pairing(*paired)


def test_a_pairing_that_is_not_there_is_named(paired, tmp_path):
    with pytest.raises(StageError, match="no finished stage 'nearest' here; run `buddies pair build`"):
        load_pairing(tmp_path / "none", paired[1])
