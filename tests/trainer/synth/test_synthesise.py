"""Runs that write a synthetic data set: seeds, any size, resumption, and folders of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from spotify_buddies.trainer.synth.write import PRESETS, SynthError, synthesise
from tests.trainer.synth.written import LISTS, SONGS, USERS, Written, digests, read


def test_the_same_seed_writes_the_same_bytes(dirty: Written, tmp_path: Path):
    synthesise(tmp_path, users=USERS, playlists=LISTS, songs=SONGS, seed=7)
    assert digests(tmp_path) == digests(dirty.folder)


def test_another_seed_writes_other_songs_for_every_user(dirty: Written, tmp_path: Path):
    synthesise(tmp_path, users=USERS, playlists=LISTS, songs=SONGS, seed=8)
    other, first = digests(tmp_path), digests(dirty.folder)
    assert all(other[name] != first[name] for name in first)


def test_more_users_begin_with_the_same_users(tmp_path: Path):
    few, many = tmp_path / "few", tmp_path / "many"
    synthesise(few, users=5_000, playlists=0, songs=3_000, dirt=False)
    synthesise(many, users=9_000, playlists=0, songs=3_000, dirt=False)
    a, b = ((folder / "taste_profile" / "train_triplets.txt").read_bytes() for folder in (few, many))
    first_block = a[: a.index(b"\n", len(a) // 2)]
    assert b.startswith(first_block)


@pytest.mark.parametrize(("users", "playlists"), [(0, 0), (1, 0), (0, 1), (3, 1_001)])
def test_any_number_of_users_and_playlists_can_be_written(users: int, playlists: int, tmp_path: Path):
    summary = synthesise(tmp_path, users=users, playlists=playlists, songs=100)
    written = read(tmp_path, summary)
    assert len(written.libraries) == users
    assert len(written.playlists) == playlists


def test_the_tiny_preset_is_small_and_songs_default_to_the_real_ratio(tmp_path: Path):
    tiny = PRESETS["tiny"]
    summary = synthesise(tmp_path / "tiny", users=tiny.users, playlists=tiny.playlists, songs=tiny.songs)
    assert (summary.users, summary.playlists, summary.songs) == (200, 300, 1_500)
    assert summary.bytes < 10_000_000
    assert synthesise(tmp_path / "default", users=10, playlists=2_000).songs == pytest.approx(31_000, rel=0.02)


def test_a_finished_folder_is_left_as_it_is(tmp_path: Path):
    first = synthesise(tmp_path, users=20, playlists=20, songs=500)
    triplets = tmp_path / "taste_profile" / "train_triplets.txt"
    before = triplets.stat().st_mtime_ns
    assert synthesise(tmp_path, users=20, playlists=20, songs=500) == first
    assert triplets.stat().st_mtime_ns == before


def test_a_finished_folder_that_lost_a_file_is_written_again(tmp_path: Path):
    synthesise(tmp_path, users=20, playlists=20, songs=500)
    whole = digests(tmp_path)
    (tmp_path / "taste_profile" / "unique_tracks.txt").unlink()
    synthesise(tmp_path, users=20, playlists=20, songs=500)
    assert digests(tmp_path) == whole


def test_a_smaller_set_leaves_no_slice_of_a_larger_one(tmp_path: Path):
    synthesise(tmp_path, users=20, playlists=1_500, songs=500)
    synthesise(tmp_path, users=20, playlists=10, songs=500)
    assert [path.name for path in (tmp_path / "mpd").iterdir()] == ["mpd.slice.0-999.json"]


def test_an_interrupted_run_ends_with_the_same_files(tmp_path: Path):
    def interrupt(what: str, done: int, total: int, unit: str = "items") -> None:
        if what == "write triplets":
            raise KeyboardInterrupt

    arguments = {"users": 50, "playlists": 50, "songs": 500}
    with pytest.raises(KeyboardInterrupt):
        synthesise(tmp_path / "broken", **arguments, progress=interrupt)
    synthesise(tmp_path / "broken", **arguments)
    synthesise(tmp_path / "whole", **arguments)
    assert digests(tmp_path / "broken") == digests(tmp_path / "whole")


def test_a_folder_with_other_files_is_refused_and_untouched(tmp_path: Path):
    (tmp_path / "mpd").mkdir()
    mine = tmp_path / "mpd" / "mpd.slice.0-999.json"
    mine.write_text("real")
    with pytest.raises(SynthError, match="not a synthetic data set"):
        synthesise(tmp_path, users=1, playlists=1, songs=100)
    assert mine.read_text() == "real"


@pytest.mark.parametrize("sizes", [{"users": -1}, {"playlists": -1}, {"songs": 99}])
def test_sizes_that_make_no_world_are_refused(sizes: dict[str, int], tmp_path: Path):
    with pytest.raises(SynthError, match="at least"):
        synthesise(tmp_path, **{"users": 1, "playlists": 1, "songs": 100, **sizes})
    assert not list(tmp_path.iterdir())
