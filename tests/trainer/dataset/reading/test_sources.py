"""What a folder is taken for."""

from __future__ import annotations

from pathlib import Path

import pytest

from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.sources import find_sources


def touch(directory: Path, *names: str) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return directory


def test_files_are_found_at_any_depth_and_slices_by_their_numbers(tmp_path):
    names = ["a/mpd.slice.1000-1999.json", "a/mpd.slice.0-999.json.gz", "a/mpd.slice.20000-20999.json.zst"]
    found = find_sources(touch(tmp_path, *names, "b/train_triplets.txt", "b/c/song_data.csv", "sid_mismatches.txt"))
    assert [path.name for path in found.mpd] == [Path(names[i]).name for i in (1, 0, 2)]
    assert found.triplets == tmp_path / "b/train_triplets.txt"
    assert found.song_names == tmp_path / "b/c/song_data.csv"
    assert found.mismatches == tmp_path / "sid_mismatches.txt"


@pytest.mark.parametrize("name", ["playlists.csv", "playlists.csv.gz", "playlists.csv.zst", "playlists.parquet"])
def test_own_playlists_alone_are_enough(tmp_path, name):
    assert find_sources(touch(tmp_path, name)).playlists == tmp_path / name


def test_a_table_may_be_a_folder_of_its_parts(tmp_path):
    names = ["raw/listens.parquet/part-0", "raw/listens.parquet/playlists.csv", "raw/playlists.csv/part-1.csv"]
    found = find_sources(touch(tmp_path, *names))
    assert found.named() == {
        "listens/listens.parquet": tmp_path / "raw/listens.parquet",
        "playlists/playlists.csv": tmp_path / "raw/playlists.csv",
    }


def test_unique_tracks_are_taken_before_song_data(tmp_path):
    found = find_sources(
        touch(tmp_path, "mpd.slice.0-9.json", "train_triplets.txt", "song_data.csv", "unique_tracks.txt")
    )
    assert found.song_names == tmp_path / "unique_tracks.txt"


def test_names_of_files_do_not_depend_on_the_folder(tmp_path):
    one = find_sources(touch(tmp_path / "one", "x/playlists.csv")).named()
    assert (
        set(one) == set(find_sources(touch(tmp_path / "two", "playlists.csv")).named()) == {"playlists/playlists.csv"}
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no raw files found; known names are mpd.slice"),
        (["notes.txt", "mpd.slice.json"], "no raw files found"),
        (["train_triplets.txt", "song_data.csv"], "no playlists found; add mpd.slice.<a>-<b>.json or playlists.csv"),
        (["mpd.slice.0-999.json"], "no listening data found; add train_triplets.txt"),
        (["mpd.slice.0-999.json", "train_triplets.txt"], "no file with the names of its songs"),
        (["a/playlists.csv", "b/playlists.csv"], "2 files for playlists; give a folder that holds one of them"),
    ],
)
def test_an_unusable_folder_is_refused_with_what_is_missing(tmp_path, names, message):
    with pytest.raises(DataError) as caught:
        find_sources(touch(tmp_path, *names))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_folders_of_finished_stages_and_hidden_ones_are_no_raw_data(tmp_path):
    touch(tmp_path, "playlists.csv", "state/dataset/1-raw/stage.json", "state/dataset/1-raw/playlists.parquet")
    touch(tmp_path, "state/dataset/1-raw/below/listens.csv", "state/dataset/.1-raw.partial/playlists.parquet")
    touch(tmp_path, ".cache/mpd.slice.0-999.json")
    assert find_sources(tmp_path).named() == {"playlists/playlists.csv": tmp_path / "playlists.csv"}


def test_a_hidden_folder_may_be_the_one_that_is_given(tmp_path):
    folder = touch(tmp_path / ".buddies" / "raw", "playlists.csv")
    assert find_sources(folder).playlists == folder / "playlists.csv"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="none-here: no such directory"):
        find_sources(tmp_path / "none-here")


def test_linked_folders_are_searched_and_a_link_back_is_no_trap(tmp_path):
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    (elsewhere / "playlists.csv").touch()
    (elsewhere / "back").symlink_to(elsewhere)
    (here / "link").symlink_to(elsewhere)
    assert find_sources(here).playlists == here / "link" / "playlists.csv"
