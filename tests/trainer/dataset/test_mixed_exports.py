"""A folder of exports of five people, validated and built with the command, as its owner would."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.text.ids import is_id
from tests.clients.buddies_process import buddies
from tests.trainer.dataset.builds import build, contents
from tests.trainer.dataset.mixed_exports import ITUNES, itunes_playlist, itunes_track, mixed_exports, write


def test_a_folder_of_exports_is_validated_and_built(tmp_path):
    mixed_exports(tmp_path / "data")
    checked = buddies("data", "validate", "data", "--json", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    report = json.loads(checked.stdout)
    assert {file["name"].split("/")[0]: file["user"] for file in report["files"]} == {
        user: user for user in ("ana", "ben", "cem", "dora", "eve")
    }
    built = buddies("data", "build", "data", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert "listens2.csv: no known format; is it meant as listens?" in built.stderr
    assert "eve/party copy.m3u8: the same content as eve/party.m3u8" in built.stderr
    assert "rows of exports, podcasts and audiobooks: 4" in built.stdout

    songs = tmp_path / ".buddies" / "dataset" / "2-songs"
    assert pl.read_parquet(songs / "users.parquet")["user_id"].to_list() == ["ana", "ben", "cem", "dora", "eve"]
    playlists = pl.read_parquet(songs / "playlists.parquet")
    assert list(zip(playlists["title"], playlists["owner_id"], strict=True)) == [
        ("Morning", "ana"),
        ("Morning", "ana"),
        ("long drive", "ben"),
        ("Weekly", "cem"),
        ("Späti & more", "dora"),
        ("Running", "eve"),
        ("party", "eve"),
    ]
    assert all(map(is_id, playlists["playlist_id"]))
    # What the build read is what validate said: no second count.
    listens = Csr.load(tmp_path / ".buddies" / "dataset" / "1-raw", "listens")
    tracks = Csr.load(tmp_path / ".buddies" / "dataset" / "1-raw", "tracks")
    assert listens.nnz + tracks.nnz == sum(file["used"] for file in report["files"])
    assert listens.counts.tolist() == [26, 22, 18, 16, 20]


def test_a_broken_export_stops_both_commands_and_is_named_by_both(tmp_path):
    mixed_exports(tmp_path / "data")
    write(tmp_path / "data" / "ana" / "StreamingHistory9.json", '[{"trackName"')
    checked = buddies("data", "validate", "data", cwd=tmp_path)
    built = buddies("data", "build", "data", cwd=tmp_path)
    assert (checked.returncode, built.returncode) == (1, 1)
    assert "PROBLEM: line 1, column 14: broken JSON" in checked.stdout
    assert "StreamingHistory9.json: line 1, column 14: broken JSON" in built.stderr
    assert buddies("data", "build", "data", "--skip-bad-files", cwd=tmp_path).returncode == 0


def test_files_in_no_folder_need_a_user(tmp_path):
    tracks = [itunes_track(n, f"Tune {n}", "A", plays=1) for n in range(1, 9)]
    library = ITUNES.format(tracks="\n".join(tracks), playlists=itunes_playlist("Run", [1, 2, 3]))
    write(tmp_path / "data" / "Library.xml", library)
    refused = buddies("data", "build", "data", cwd=tmp_path)
    assert refused.returncode == 1
    assert "but of whom?" in refused.stderr
    assert buddies("data", "validate", "data", cwd=tmp_path).returncode == 1
    assert buddies("data", "validate", "data", "--user", "me", cwd=tmp_path).returncode == 0
    assert buddies("data", "build", "data", "--user", "me", cwd=tmp_path).returncode == 0


def test_the_same_exports_give_the_same_bytes_and_another_user_gives_others(tmp_path):
    one, two = mixed_exports(tmp_path / "one"), mixed_exports(tmp_path / "two")
    build(one, tmp_path / "a")
    build(two, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    Path(two / "ana").rename(two / "anna")
    assert build(two, tmp_path / "b").ran
    assert "anna" in pl.read_parquet(tmp_path / "b" / "2-songs" / "users.parquet")["user_id"].to_list()
