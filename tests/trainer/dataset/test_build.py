"""Parts 1 to 9 from raw files: what is written, and what is taken from every kind of source."""

from __future__ import annotations

import shutil

import numpy as np
import polars as pl
import pytest

from spotify_buddies.trainer.dataset.table import IN_TRAIN, IN_VALIDATION, STAGES, open_dataset
from spotify_buddies.trainer.settings import DataSettings
from tests.trainer.dataset.builds import SETTINGS, build, contents


def test_every_stage_and_the_report_are_written(raw_files, tmp_path):
    summary = build(raw_files(), tmp_path / "dataset")
    assert summary.ran == STAGES
    assert tuple(summary.statistics) == STAGES
    assert summary.report.read_text().startswith("<!DOCTYPE html>")
    dataset = open_dataset(tmp_path / "dataset")
    assert dataset.fingerprint == summary.fingerprint
    assert (dataset.users, dataset.playlists, dataset.songs) == (30, 40, 60)
    assert dataset.user_table["user_id"].to_list() == [f"user{i:02}" for i in range(30)]
    assert dataset.playlist_table["title"][3] == "list 3"
    assert dataset.song_table.columns == ["title", "artist"]
    assert dataset.song_id_table.height == 60
    likes = dataset.count_train_likes()
    assert likes.sum() == summary.statistics["6-split"]["train"] > 0
    chosen = dataset.liked.indices[dataset.split == IN_TRAIN]
    assert likes.tolist() == [int((chosen == playlist).sum()) for playlist in range(40)]
    assert (dataset.split == IN_VALIDATION).sum() == len(dataset.validation)


def test_names_that_differ_in_case_and_spaces_meet(raw_files, built):
    dataset = open_dataset(built(raw_files()))
    songs = dataset.song_table.with_row_index()
    listed = set(np.unique(dataset.playlist_songs.indices).tolist())
    titles = set(songs.filter(pl.col("index").is_in(list(listed)))["title"].to_list())
    assert titles
    assert all(title.startswith("Title") for title in titles)


def test_the_same_input_makes_the_same_bytes(raw_files, built, tmp_path):
    raw = raw_files()
    build(raw, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(built(raw))


@pytest.mark.parametrize("block_users", [1, 7])
def test_block_size_changes_nothing(raw_files, built, tmp_path, block_users):
    raw = raw_files()
    build(raw, tmp_path / "blocks", SETTINGS.model_copy(update={"block_users": block_users}))
    assert contents(tmp_path / "blocks") == contents(built(raw))


def test_a_song_without_a_name_keeps_a_row_of_its_own_and_matches_nobody(raw_files, tmp_path):
    raw = raw_files()
    with (raw / "train_triplets.txt").open("a") as file:
        file.write("user00\tNAMELESS1\t1\nuser01\tNAMELESS1\t1\nuser02\tNAMELESS2\t1\n")
    summary = build(raw, tmp_path / "dataset")
    dataset = open_dataset(tmp_path / "dataset")
    rows = dict(dataset.song_id_table.iter_rows())
    assert rows["NAMELESS1"] != rows["NAMELESS2"]
    assert rows["NAMELESS1"] in dataset.user_songs.row(0)
    assert rows["NAMELESS1"] in dataset.user_songs.row(1)
    assert rows["NAMELESS1"] not in dataset.playlist_songs.indices
    assert dataset.song_table["title"][rows["NAMELESS1"]] == ""
    assert summary.statistics["2-songs"]["songs_heard_without_a_name"] == 2


def test_duplicate_rows_playlists_and_tracks_are_counted_and_change_nothing(raw_files, built, tmp_path):
    raw = raw_files()
    before = open_dataset(built(raw))
    triplets = raw / "train_triplets.txt"
    triplets.write_text(triplets.read_text() + "".join(triplets.read_text().splitlines(keepends=True)[:5]))
    shutil.copy(raw / "mpd.slice.0-19.json", raw / "mpd.slice.100-119.json")
    summary = build(raw, tmp_path / "dataset")
    after = open_dataset(tmp_path / "dataset")
    assert summary.statistics["1-raw"]["playlists_that_came_twice"] == 20
    assert summary.statistics["3-matrix"]["listens_of_the_same_song"] == 5
    assert np.array_equal(after.liked.indices, before.liked.indices)


def test_a_user_without_a_match_stays_a_user(raw_files, tmp_path):
    raw = raw_files()
    with (raw / "train_triplets.txt").open("a") as file:
        file.write("loner\tNAMELESS\t1\n")
    summary = build(raw, tmp_path / "dataset")
    dataset = open_dataset(tmp_path / "dataset")
    assert dataset.user_table["user_id"][30] == "loner"
    assert dataset.liked.row(30).size == 0
    assert summary.statistics["3-matrix"]["users_without_a_match"] == 1


def test_playlists_that_name_their_owners_make_users_of_them(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    rows = [
        ("p1", "ann", "one"),
        ("p1", "ann", "two"),
        ("p2", "ann", "three"),
        ("p3", "bob", "one"),
        ("p4", None, "two"),
    ]
    names = ["playlist_id", "owner_id", "title"]
    table = pl.DataFrame(rows, schema=names, orient="row").with_columns(artist=pl.lit("A"), name=pl.lit("x"))
    table.write_parquet(raw / "playlists.parquet")
    build(raw, tmp_path / "dataset")
    dataset = open_dataset(tmp_path / "dataset")
    assert dataset.user_table["user_id"].to_list() == ["ann", "bob"]
    assert [dataset.user_songs.row(i).tolist() for i in range(2)] == [[0, 1, 2], [0]]
    assert dataset.owner.tolist()[:3] == [0, 0, 1]
    assert dataset.owned.row(0).tolist()[:2] == [0, 1]


def test_playlists_of_nameless_tracks_make_an_empty_data_set(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "playlists.csv").write_text("playlist_id,name,owner_id,title,artist\np1,x,ann,,A\n")
    summary = build(raw, tmp_path / "dataset")
    dataset = open_dataset(tmp_path / "dataset")
    assert summary.statistics["1-raw"]["playlist_tracks_without_a_name"] == 1
    assert (dataset.users, dataset.playlists, dataset.songs) == (1, 1, 0)
    assert len(dataset.triplets) == len(dataset.validation) == 0


def test_an_owner_who_listens_keeps_the_own_library(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "playlists.csv").write_text("playlist_id,name,owner_id,title,artist\np1,x,ann,one,A\n")
    (raw / "listens.csv").write_text("user_id,title,artist\nbob,one,A\nann,two,A\n")
    build(raw, tmp_path / "dataset")
    dataset = open_dataset(tmp_path / "dataset")
    assert dataset.user_table["user_id"].to_list() == ["bob", "ann"]
    assert dataset.owner.tolist() == [1]
    assert dataset.song_table["title"][int(dataset.user_songs.row(1)[0])] == "two"


def test_full_matching_brings_more_listens_to_playlists(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "playlists.csv").write_text("playlist_id,name,title,artist\np1,x,Été (Remastered 2011),The Band\n")
    (raw / "listens.csv").write_text("user_id,title,artist\nbob,ete,band\n")
    counts = build(raw, tmp_path / "dataset", DataSettings(matching="full")).statistics["2-songs"]
    assert (counts["matching"], counts["shared_songs"]) == ("full", 1)
    assert (counts["listens_with_a_playlist_plain_matching"], counts["listens_with_a_playlist_full_matching"]) == (0, 1)
    assert open_dataset(tmp_path / "dataset").songs == 1
