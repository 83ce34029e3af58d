"""The whole of parts 1 to 9, from raw files to the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spotify_buddies.foundation.stages import stage
from spotify_buddies.pairing.build import build_pairing
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.sources import find_sources
from spotify_buddies.trainer.dataset.report import statistics, write_report
from spotify_buddies.trainer.dataset.table import IN_TRAIN, IN_VALIDATION, STAGES, open_dataset
from spotify_buddies.trainer.settings import DataSettings

SETTINGS = DataSettings(liked_share=0.2, validation_negatives=3, owned_max=3)


def build(raw: Path, to: Path, settings: DataSettings = SETTINGS, **options):
    return build_dataset(find_sources(raw), to, settings, **options)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file but the times that the work took."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != stage.TIMINGS)
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


class Interrupter:
    """Progress that interrupts at the given report, as Ctrl-C does; without one it counts the reports."""

    def __init__(self, at: int = -1) -> None:
        self.at, self.reports, self.seen = at, 0, []

    def __call__(self, what: str, done: int, total: int, unit: str = "items") -> None:
        self.seen.append((what, done, total))
        self.reports += 1
        if self.reports == self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """One build per content of the raw folder, shared by the tests of this module."""
    done: dict[str, Path] = {}

    def get(raw: Path) -> Path:
        key = str(sorted((path.name, path.read_bytes()) for path in raw.iterdir()))
        if key not in done:
            done[key] = tmp_path_factory.mktemp("built") / "dataset"
            build(raw, done[key])
        return done[key]

    return get


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


def test_another_place_of_the_raw_files_is_no_reason_to_build_again(raw_files, tmp_path):
    raw = raw_files()
    build(raw, tmp_path / "dataset")
    raw.rename(tmp_path / "moved")
    assert build(tmp_path / "moved", tmp_path / "dataset").ran == ()


def test_another_seed_reruns_only_what_depends_on_it(raw_files, built, tmp_path):
    raw = raw_files()
    shutil.copytree(built(raw), tmp_path / "dataset")
    other = SETTINGS.model_copy(update={"validation_negatives": 2})
    assert build(raw, tmp_path / "dataset", other).ran == ("9-validation",)
    assert build(raw, tmp_path / "dataset", other.model_copy(update={"seed": 1})).ran == STAGES[3:]


def test_changed_raw_files_are_read_again(raw_files, tmp_path):
    raw = raw_files()
    build(raw, tmp_path / "dataset")
    with (raw / "train_triplets.txt").open("a") as file:
        file.write("someone\tSO001\t1\n")
    assert build(raw, tmp_path / "dataset").statistics["1-raw"]["listeners"] == 31


def test_an_interruption_at_any_report_is_made_good_by_a_rerun(raw_files, built, tmp_path):
    raw = raw_files()
    expected = contents(built(raw))
    counter = Interrupter()
    build(raw, tmp_path / "count", SETTINGS.model_copy(update={"block_users": 16}), progress=counter)
    interrupted = set()
    for at in range(1, counter.reports + 1):
        what = counter.seen[at - 1][0]
        if what in interrupted and counter.seen[at - 1][0] != "parts":
            continue  # once within each kind of work, and between any two parts
        interrupted.add(what)
        to = tmp_path / f"interrupted-{at}"
        with pytest.raises(KeyboardInterrupt):
            build(raw, to, SETTINGS.model_copy(update={"block_users": 16}), progress=Interrupter(at))
        build(raw, to)
        assert contents(to) == expected
    assert {"fingerprints", "slices", "listens", "scores", "owners, round 1", "triplets", "shuffle"} <= interrupted


def test_an_interruption_in_the_middle_of_blocks_is_made_good_by_a_rerun(raw_files, built, tmp_path):
    raw = raw_files()
    settings = SETTINGS.model_copy(update={"block_users": 10})
    for what in ("scores", "triplets", "batches random"):

        def stop(name: str, done: int, total: int, unit: str = "items", what: str = what) -> None:
            if name == what and done == 20:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build(raw, tmp_path / what, settings, progress=stop)
        build(raw, tmp_path / what, settings)
        assert contents(tmp_path / what) == contents(built(raw))


def test_a_mixture_of_old_and_new_parts_is_not_opened(raw_files, built, tmp_path):
    raw = raw_files()
    shutil.copytree(built(raw), tmp_path / "dataset")
    settings = SETTINGS.model_copy(update={"seed": 7})

    def stop(what: str, done: int, total: int, unit: str = "items") -> None:
        if what == "triplets":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(raw, tmp_path / "dataset", settings, progress=stop)
    with pytest.raises(stage.StageError, match="8-triplets: made from another '4-score' than lies beside it"):
        open_dataset(tmp_path / "dataset")


def test_an_unfinished_data_set_is_not_opened(tmp_path):
    with pytest.raises(stage.StageError, match="no finished stage '1-raw'"):
        open_dataset(tmp_path)
    with pytest.raises(stage.StageError, match="no finished stage '1-raw' here; build the data set with `buddies data"):
        statistics(tmp_path)


def test_a_broken_slice_stops_the_run_and_leaves_nothing_half_done(raw_files, tmp_path):
    raw = raw_files()
    (raw / "mpd.slice.20-39.json").write_text('{"playlists": [')
    with pytest.raises(DataError, match=r"mpd.slice.20-39.json: line 1, column 16"):
        build(raw, tmp_path / "dataset")
    assert not (tmp_path / "dataset" / "1-raw").exists()


def test_a_broken_slice_can_be_skipped_and_is_listed_in_the_report(raw_files, tmp_path):
    raw = raw_files()
    (raw / "mpd.slice.20-39.json").write_text('{"playlists": [')
    summary = build(raw, tmp_path / "dataset", skip_bad_files=True)
    counts = summary.statistics["1-raw"]
    assert (counts["slices"], counts["skipped_files"], counts["playlists"]) == (1, 1, 20)
    assert counts["skipped"][0].startswith("mpd.slice.20-39.json: line 1, column 16")
    assert "mpd.slice.20-39.json: line 1" in summary.report.read_text()


def test_only_broken_slices_leave_nothing_to_work_with(raw_files, tmp_path):
    raw = raw_files()
    for path in raw.glob("mpd.*"):
        path.write_text("")
    with pytest.raises(DataError, match="no playlist could be read"):
        build(raw, tmp_path / "dataset", skip_bad_files=True)


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
    found = build(raw, tmp_path / "dataset", DataSettings(matching="full")).statistics["2-songs"]
    assert (found["matching"], found["shared_songs"]) == ("full", 1)
    assert (found["listens_with_a_playlist_plain_matching"], found["listens_with_a_playlist_full_matching"]) == (0, 1)
    assert open_dataset(tmp_path / "dataset").songs == 1


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
