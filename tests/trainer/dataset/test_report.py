"""The report beside a data set, with the pairing that belongs to it, and its statistics."""

from __future__ import annotations

import json
import shutil

from spotify_buddies.pairing.build import build_pairing
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.dataset.report import statistics, write_report
from tests.trainer.dataset.builds import build


def test_the_report_shows_every_part_and_the_pairing_beside_it(raw_files, built, tmp_path):
    shutil.copytree(built(raw_files()), tmp_path / "dataset")
    before = (tmp_path / "dataset" / "report.html").read_text()
    assert "Pairing" not in before
    assert before.count("<svg") == 8

    build_pairing(tmp_path / "dataset", tmp_path / "pairing", PairingSettings(dimension=8))
    after = write_report(tmp_path / "dataset").read_text()
    for title in ("Raw data", "Playlists over owners, Gini", "Neighbours per user", "Playlists reachable"):
        assert title in after
    identifiers = [part.split('"')[0] for part in after.split(' id="')[1:]]
    assert len(identifiers) == len(set(identifiers))
    assert "http" not in after.replace("http://www.w3.org", "")


def test_the_report_leaves_out_a_pairing_of_another_data_set(raw_files, built, tmp_path):
    shutil.copytree(built(raw_files()), tmp_path / "dataset")
    build_pairing(tmp_path / "dataset", tmp_path / "pairing", PairingSettings(dimension=8))
    fewer = raw_files(users=9, folder="fewer")
    assert "Pairing" not in build(fewer, tmp_path / "dataset").report.read_text()
    build_pairing(tmp_path / "dataset", tmp_path / "pairing", PairingSettings(dimension=8))
    assert "Pairing" in write_report(tmp_path / "dataset").read_text()


def test_statistics_are_those_of_the_stamps(raw_files, built):
    directory = built(raw_files())
    stamp = json.loads((directory / "7-own" / "stage.json").read_text())
    assert statistics(directory)["7-own"] == stamp["statistics"]
