"""Bundles with right hashes and wrong numbers: refused at opening, by the file and the first bad entry."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotify_buddies.trainer.bundle import BundleError, SongFactors, open_bundle, write_bundle
from spotify_buddies.trainer.bundle.derived import save_derived
from spotify_buddies.trainer.bundle.golden import GOLDEN
from spotify_buddies.trainer.bundle.manifest import describe_files, read_manifest


@pytest.fixture
def written(bundle_parts, tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle", bundle_parts).directory


def hash_anew(directory: Path) -> None:
    """Make the manifest's hashes those of the files as they are now."""
    replace(read_manifest(directory), files=describe_files(directory)).write(directory)


def corrupt(directory: Path, file: str, entry: int, value: Any) -> None:
    path = directory / file
    array = np.load(path)
    array[entry] = value
    np.save(path, array)
    hash_anew(directory)


# Three users, two playlists, four songs, three song ids, two genres.
@pytest.mark.parametrize(
    ("file", "entry", "value", "said"),
    [
        ("owner.npy", 1, 3, r"entry 1 is 3, outside -1\.\.2"),
        ("owner.npy", 0, -2, r"entry 0 is -2, outside -1\.\.2"),
        ("popular.npy", 1, 2, r"entry 1 is 2, outside 0\.\.1"),
        ("popular_scores.npy", 1, np.nan, r"entry 1 is nan, outside 0\.\."),
        ("popular_scores.npy", 0, -1, r"entry 0 is -1\.0, outside 0\.\."),
        ("popular_scores.npy", 0, np.inf, r"entry 0 is inf, outside 0\.\."),
        ("popular_scores.npy", 0, 2**31, r"entry 0 is 2147483648\.0, outside 0\.\.2147483647"),
        ("genre_popular.values.npy", 1, np.nan, r"entry 1 is nan, outside 0\.\."),
        ("song_listeners.npy", 2, -1, r"entry 2 is -1, outside 0\.\.3"),
        ("song_listeners.npy", 2, 4, r"entry 2 is 4, outside 0\.\.3"),
        ("song_genres.npy", 3, -2, r"entry 3 is -2, outside -1\.\.1"),
        ("song_id_rows.npy", 2, 4, r"entry 2 is 4, outside 0\.\.3"),
        ("song_id_rows.npy", 0, -1, r"entry 0 is -1, outside 0\.\.3"),
        ("user_ids.rows.npy", 1, 3, r"entry 1 is 3, outside 0\.\.2"),
        ("playlist_ids.rows.npy", 0, -1, r"entry 0 is -1, outside 0\.\.1"),
        ("song_ids.rows.npy", 2, 3, r"entry 2 is 3, outside 0\.\.2"),
        ("song_keys.rows.npy", 3, 4, r"entry 3 is 4, outside 0\.\.3"),
        ("user_ids.hashes.npy", 2, 0, "entry 2 is 0, less than the one before it"),
        ("user_ids.offsets.npy", 1, 99, "entry 2 is 6, less than the one before it, 99"),
        ("playlist_titles.offsets.npy", 2, 8, r"entry 2 is 8, but playlist_titles\.bytes\.npy holds 7"),
        ("song_artists.offsets.npy", 0, 1, "entry 0 is 1, not 0"),
    ],
)
def test_a_number_out_of_range_is_refused_by_file_and_entry(written, file, entry, value, said):
    corrupt(written, file, entry, value)
    with pytest.raises(BundleError, match=rf"{file}: {said}"):
        open_bundle(written)


@pytest.mark.parametrize(
    "name", ["user_ids", "playlist_ids", "song_ids", "song_keys", "playlist_titles", "song_titles", "song_artists"]
)
def test_a_string_that_is_no_utf8_is_refused_by_its_entry(written, name):
    offsets = np.load(written / f"{name}.offsets.npy")
    entry = int(np.flatnonzero(np.diff(offsets))[-1])
    corrupt(written, f"{name}.bytes.npy", slice(int(offsets[entry]), int(offsets[entry + 1])), 0xFF)
    with pytest.raises(BundleError, match=rf"{name}\.bytes\.npy: entry {entry} is no UTF-8 \(invalid start byte\)"):
        open_bundle(written, check_hashes=False)


def test_a_character_cut_between_two_strings_is_refused(bundle_parts, tmp_path):
    directory = write_bundle(tmp_path / "cut", replace(bundle_parts, playlist_titles=["é", "é"])).directory
    corrupt(directory, "playlist_titles.offsets.npy", 1, 1)
    with pytest.raises(BundleError, match=r"playlist_titles\.bytes\.npy: entry 1 begins inside a character"):
        open_bundle(directory)


def test_texts_longer_than_a_block_open_and_their_wrong_entry_is_named(bundle_parts, tmp_path):
    titles = ["", "ü" * 1_500_000]
    directory = write_bundle(tmp_path / "long", replace(bundle_parts, playlist_titles=titles)).directory
    assert open_bundle(directory).playlist_titles[1] == titles[1]
    corrupt(directory, "playlist_titles.bytes.npy", -1, 0xFF)
    with pytest.raises(BundleError, match=r"entry 1 is no UTF-8"):
        open_bundle(directory)


@pytest.mark.parametrize(("name", "most"), [("candidates", 1), ("user_songs", 3), ("owned", 1), ("genre_popular", 1)])
@pytest.mark.parametrize("value", [-1, 4])
def test_a_column_out_of_range_is_refused_by_matrix_and_entry(written, name, most, value):
    corrupt(written, f"{name}.indices.npy", 0, value)
    with pytest.raises(BundleError, match=rf"{name}: indices leave the range 0\.\.{most}: entry 0 is {value}"):
        open_bundle(written)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("owner.npy", lambda array: array.astype(np.float64)),
        ("popular_scores.npy", lambda array: array[:1]),
        ("song_id_rows.npy", lambda array: array[:2]),
        ("song_ids.rows.npy", lambda array: array[:2]),
        ("song_keys.hashes.npy", lambda array: array[:3]),
        ("song_titles.offsets.npy", lambda array: array.astype(np.float64)),
        ("user_songs.indices.npy", lambda array: array.astype(np.float64)),
        ("candidates.values.npy", lambda array: array.astype(np.float64)),
        ("sketches.npy", lambda array: array.astype(np.int64)),
    ],
)
def test_an_array_of_another_type_or_length_is_refused(written, file, change):
    np.save(written / file, change(np.load(written / file)))
    hash_anew(written)
    with pytest.raises(BundleError, match=file.split(".")[0]):
        open_bundle(written)


def test_song_factors_without_a_length_are_refused(bundle_parts, tmp_path):
    empty = np.zeros((4, 1), np.float16)
    songs = SongFactors(empty, empty, np.zeros(4, np.float32), np.empty(0, np.float32))
    with pytest.raises(BundleError, match="taste_length has shape"):
        write_bundle(tmp_path / "other", replace(bundle_parts, song_factors=songs))


def test_a_golden_list_of_nothing_is_refused(written):
    (written / GOLDEN).write_text(json.dumps([{"user_id": "ann", "playlists": []}]))
    hash_anew(written)
    with pytest.raises(BundleError, match=r"golden\.json: entry 0, of user 'ann', holds no playlists"):
        open_bundle(written)


def test_numbers_at_the_ends_of_their_ranges_open(written):
    before = open_bundle(written)
    for file, entry, value in [("owner.npy", 0, 2), ("song_listeners.npy", 0, 3), ("song_id_rows.npy", 0, 3)]:
        corrupt(written, file, entry, value)
    corrupt(written, "popular_scores.npy", 0, 0)
    # The encoded playlists name their owners; another owner's id has another length.
    save_derived(replace(before, owner=np.array([2, -1], np.int32)))
    hash_anew(written)
    assert open_bundle(written).owner.tolist() == [2, -1]
