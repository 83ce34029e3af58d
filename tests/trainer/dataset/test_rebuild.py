"""A build over what lies there: only what changed is made again, and an interruption is made good."""

from __future__ import annotations

import shutil

import polars as pl
import pytest

from spotify_buddies.foundation.stages import stage
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.report import statistics
from spotify_buddies.trainer.dataset.table import STAGES, open_dataset
from tests.trainer.dataset.builds import SETTINGS, Interrupter, build, contents


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


def test_a_folder_of_parts_is_read_again_when_a_part_changes(raw_files, tmp_path):
    raw = raw_files()
    table = raw / "listens.parquet"
    (table / "day=1").mkdir(parents=True)
    columns = {"user_id": ["someone"], "title": ["x"], "artist": [["Ann", "Bo"]], "genre": ["y"]}
    pl.DataFrame(columns).write_parquet(table / "day=1" / "part-0.parquet")
    (table / "_SUCCESS").touch()
    raw_counts = build(raw, tmp_path / "dataset").statistics["1-raw"]
    assert raw_counts["listeners"] == 31
    assert raw_counts["unread_columns"]["listens.parquet"] == ["genre", "day"]
    assert build(raw, tmp_path / "dataset").ran == ()
    pl.DataFrame(columns | {"user_id": ["another"]}).write_parquet(table / "part-1.parquet")
    assert build(raw, tmp_path / "dataset").statistics["1-raw"]["listeners"] == 32


def test_an_interruption_at_any_report_is_made_good_by_a_rerun(raw_files, built, tmp_path):
    raw = raw_files()
    expected = contents(built(raw))
    counter = Interrupter()
    build(raw, tmp_path / "count", SETTINGS.model_copy(update={"block_users": 16}), progress=counter)
    interrupted = set()
    for report in range(1, counter.reports + 1):
        what = counter.seen[report - 1][0]
        if what in interrupted and counter.seen[report - 1][0] != "parts":
            continue  # once within each kind of work, and between any two parts
        interrupted.add(what)
        to = tmp_path / f"interrupted-{report}"
        with pytest.raises(KeyboardInterrupt):
            build(raw, to, SETTINGS.model_copy(update={"block_users": 16}), progress=Interrupter(report))
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
