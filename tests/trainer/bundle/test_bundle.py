"""Writing and opening bundles, and refusing what is not one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import (
    SKETCH_BYTES,
    BundleError,
    BundleParts,
    SongFactors,
    open_bundle,
    write_bundle,
)
from spotify_buddies.trainer.bundle.kernels import add_halves
from spotify_buddies.trainer.bundle.scores import best_first
from spotify_buddies.trainer.bundle.tensors import map_tensors


@pytest.fixture
def written(bundle_parts: BundleParts, tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle", bundle_parts).directory


def test_what_was_written_is_read_back(bundle_parts, written):
    bundle = open_bundle(written)
    assert bundle.user_factors.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert bundle.playlist_factors.dtype == np.float32
    assert [bundle.candidates.row(user).tolist() for user in range(3)] == [[1, 0], [1], []]
    assert bundle.candidates.values.tolist() == [3, 1, 4]
    assert bundle.owner.tolist() == [1, -1]
    assert bundle.popular.tolist() == [1, 0]
    assert bundle.song_listeners.tolist() == [1, 3, 1, 0]
    assert bundle.sketches[1, :3].tolist() == [64, 65, 66]
    assert bundle.song_genres.tolist() == [1, 0, -1, 1]
    assert [bundle.genre_popular.row(genre).tolist() for genre in range(2)] == [[], [1, 0]]
    assert bundle.user_ids.find(["zoë", "nobody", "ann"]).tolist() == [2, -1, 0]
    assert [bundle.playlist_titles[row] for row in range(2)] == ["Morning", ""]
    assert bundle.song_id_rows[bundle.song_ids.find(["SO2b"])].tolist() == [1]
    assert (bundle.index / "vectors.bin").read_bytes() == b"0123456789"
    manifest = bundle.manifest
    assert (manifest.users, manifest.playlists, manifest.songs, manifest.dimension) == (3, 2, 4, 2)
    assert (manifest.training, manifest.metrics) == ({"seed": 1}, {"random/mrr": 0.5})


def test_of_equal_candidates_the_one_that_came_first_stays_in_front():
    factors = np.array([[1.0], [2.0], [1.0], [2.0]], np.float32)
    ordered = best_first(Csr.from_rows([[0, 1, 2, 3], []], 4), np.array([[1.0], [1.0]], np.float32), factors).candidates
    assert [ordered.row(user).tolist() for user in range(2)] == [[1, 3, 0, 2], []]
    with pytest.raises(ValueError, match="do not fit"):
        best_first(Csr.from_rows([[0]], 3), np.ones((1, 1), np.float32), factors)


def test_a_song_is_found_by_its_normalised_names_first_row_first(written):
    """Row 3 is row 0 in other letters."""
    assert open_bundle(written).song_keys.find(["one\x1fa", "two\x1fb", "two\x1fa"]).tolist() == [0, 1, -1]


def test_aliases_are_found_beside_the_keys_of_rows_and_are_left_out_where_there_are_none(bundle_parts, tmp_path):
    aliased = replace(bundle_parts, song_aliases=["onne\x1fa", "thre\x1fc"], song_alias_rows=np.array([0, 2]))
    bundle = write_bundle(tmp_path / "aliased", aliased)
    assert bundle.song_alias_rows[bundle.song_aliases.find(["thre\x1fc", "onne\x1fa"])].tolist() == [2, 0]
    without = write_bundle(tmp_path / "without", bundle_parts)
    assert (without.song_aliases, without.song_alias_rows) == (None, None)
    assert not [name for name in without.manifest.files if "alias" in name]


@pytest.mark.parametrize("rows", [[0], [0, 4], [-1, 0]])
def test_aliases_of_no_row_are_refused(bundle_parts, tmp_path, rows):
    aliased = replace(bundle_parts, song_aliases=["onne\x1fa", "thre\x1fc"], song_alias_rows=np.array(rows))
    with pytest.raises(BundleError, match="song_alias_rows"):
        write_bundle(tmp_path / "aliased", aliased)


def test_the_same_parts_give_the_same_bundle(bundle_parts, written, tmp_path):
    again = write_bundle(tmp_path / "again", bundle_parts)
    assert again.sha256 == open_bundle(written).sha256
    other = write_bundle(tmp_path / "other", replace(bundle_parts, owner=np.array([2, -1], np.int32)))
    assert other.sha256 != again.sha256


def test_a_new_bundle_replaces_the_old_one(bundle_parts, written):
    mapped = open_bundle(written).user_factors
    new = write_bundle(written, replace(bundle_parts, user_factors=bundle_parts.user_factors * 2))
    assert new.user_factors[0, 0] == 2
    assert mapped[0, 0] == 1
    assert sorted(path.name for path in written.parent.iterdir()) == ["bundle", "index"]


def test_everybody_may_read_every_file(written):
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in written.rglob("*"))


def test_the_stamp_of_a_stage_stays_out(written):
    assert not list(written.rglob("stage.json"))


def _positions(directory: Path) -> list[tuple[str, int]]:
    return [
        (p.relative_to(directory).as_posix(), p.stat().st_size) for p in sorted(directory.rglob("*")) if p.is_file()
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_bit_in_any_file_is_refused(written, data):
    name, size = data.draw(st.sampled_from([entry for entry in _positions(written) if entry[1]]))
    at = data.draw(st.integers(0, size - 1))
    path = written / name
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[at + 1 :])
    try:
        with pytest.raises(BundleError):
            open_bundle(written)
    finally:
        path.write_bytes(whole)
    open_bundle(written)


def test_a_truncated_or_missing_file_is_refused_by_name(written):
    for name, _ in _positions(written):
        path = written / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(BundleError, match="manifest" if "manifest" in name else path.name):
            open_bundle(written)
        path.unlink()
        with pytest.raises(BundleError, match=path.name):
            open_bundle(written)
        path.write_bytes(whole)


def test_a_file_that_does_not_belong_is_refused(written):
    np.save(written / "owned.values.npy", np.zeros(3, np.float32))
    with pytest.raises(BundleError, match=r"owned\.values\.npy: not listed"):
        open_bundle(written)


@pytest.mark.parametrize(
    ("version", "advice"),
    [(3, "upgrade"), (1, "write the bundle again"), (0, "write the bundle again"), ("1", "write the bundle again")],
)
def test_another_schema_is_refused_with_advice(written, version, advice):
    path = written / "manifest.json"
    body = json.loads(path.read_text()) | {"schema_version": version, "field of the future": 1}
    path.write_text(json.dumps(body))
    with pytest.raises(BundleError, match=f"schema version {version}.*{advice}"):
        open_bundle(written)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '"x"', "{", '{"schema_version": 2}', '{"schema_version": 2, "more": 2}', "\xff"]
)
def test_what_is_no_manifest_is_refused(written, text):
    (written / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(BundleError, match="not a bundle manifest"):
        open_bundle(written)


@pytest.mark.parametrize(
    ("field", "value"), [("users", "3"), ("songs", -1), ("files", []), ("files", {"a": 1}), ("metrics", None)]
)
def test_a_manifest_field_of_the_wrong_kind_is_named(written, field, value):
    path = written / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(BundleError, match=f"field '{field}'"):
        open_bundle(written)


def test_no_bundle_is_an_error_that_says_how_to_get_one(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(BundleError, match="buddies train run"):
            open_bundle(path)


def test_a_file_of_the_wrong_kind_is_refused_even_without_hashes(written):
    shutil.copy(written / "owner.npy", written / "factors.safetensors")
    with pytest.raises(BundleError, match="safetensors"):
        open_bundle(written, check_hashes=False)
    (written / "owner.npy").write_bytes(b"\x80\x04N.")  # a pickle of None
    with pytest.raises(BundleError):
        open_bundle(written, check_hashes=False)


@pytest.mark.parametrize(
    "change",
    [
        {"owner": np.array([1], np.int32)},
        {"candidates": Csr.from_rows([[0]], 2)},
        {"playlist_titles": ["only one"]},
        {"sketches": np.zeros((2, 63), np.uint8)},
        {"song_genres": np.zeros(3, np.int16)},
        {"user_ids": ["ann", "bob"]},
        {"playlist_factors": np.zeros((2, 3), np.float32)},
    ],
)
def test_parts_that_do_not_fit_together_are_refused(bundle_parts, tmp_path, change):
    with pytest.raises(BundleError, match="the manifest says"):
        write_bundle(tmp_path / "bundle", replace(bundle_parts, **change))


def test_a_song_of_a_genre_that_is_not_there_is_refused(bundle_parts, tmp_path):
    with pytest.raises(BundleError, match="2 genres, do not fit together"):
        write_bundle(tmp_path / "bundle", replace(bundle_parts, song_genres=np.array([2, 0, 0, 0], np.int16)))


def _song_factors(songs: int) -> SongFactors:
    """Two songs of four say something: taste (3, 4) and (0, 0.5), likes 6 and 2, weights 3 and 4."""
    taste, likes = np.zeros((songs, 1), np.float16), np.zeros((songs, 1), np.float16)
    taste[[0, 2], 0], likes[[0, 2], 0] = (-3, 4), (6, 2)
    weights = np.zeros(songs, np.float32)
    weights[[0, 2]] = 3, 4
    return SongFactors(taste, likes, weights, np.array([2], np.float32))


def test_song_factors_add_up_to_a_taste_at_its_length_and_likes_by_the_weights(bundle_parts, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", replace(bundle_parts, song_factors=_song_factors(4)))
    assert bundle.song_factors is not None
    # Taste -3 + 4 at length 2; likes (6 + 2) / sqrt(9 + 16).
    rows = Csr.from_rows([[0, 2], [], [1, 3], [0], []], 4)
    found = bundle.song_factors(rows)
    assert found.tolist() == [[2, pytest.approx(1.6)], [0, 0], [0, 0], [-2, 2], [0, 0]]
    assert bundle.song_factors(Csr.from_rows([], 4)).shape == (0, 2)
    assert bundle.song_factors.taste.dtype == np.float16


def test_a_factor_does_not_depend_on_the_rows_beside():
    songs = _song_factors(4)
    many = Csr.from_rows([[0, 2] * 5_000, [0], [], [0, 2], *[[2]] * 9_000, [0, 2]], 4)
    found = songs(many)
    assert found[0].tolist() == [2, pytest.approx(8 * 5_000 / (25 * 5_000) ** 0.5)]
    assert found[1].tolist() == [-2, 2]
    assert found[3].tolist() == found[-1].tolist() == [2, pytest.approx(1.6)]


def test_every_half_is_the_float_that_numpy_makes_of_it():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    total = np.zeros(halves.size, np.float32)
    add_halves(halves.view(np.uint16), np.empty(halves.size, np.uint32), total)
    finite = np.isfinite(halves)
    np.testing.assert_array_equal(total[finite], halves[finite].astype(np.float32))
    # Infinity is no number either: both are refused with the scores.
    assert np.isnan(total[~finite]).all()


@pytest.mark.parametrize("songs", [3, 5])
def test_song_factors_of_other_songs_are_refused(bundle_parts, tmp_path, songs):
    with pytest.raises(BundleError, match="song_factors has shape"):
        write_bundle(tmp_path / "bundle", replace(bundle_parts, song_factors=_song_factors(songs)))


def test_metrics_that_are_not_numbers_are_refused(bundle_parts, tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_bundle(tmp_path / "bundle", replace(bundle_parts, metrics={"random/mrr": float("nan")}))


def test_a_bundle_without_users_or_playlists_opens(bundle_parts, tmp_path):
    empty = replace(
        bundle_parts,
        user_factors=np.empty((0, 2), np.float32),
        playlist_factors=np.empty((0, 2), np.float32),
        candidates=Csr.from_rows([], 0),
        user_songs=Csr.from_rows([], 0),
        owned=Csr.from_rows([], 0),
        owner=np.empty(0, np.int32),
        popular=np.empty(0, np.int32),
        popular_scores=np.empty(0, np.float32),
        sketches=np.empty((0, SKETCH_BYTES), np.uint8),
        song_genres=np.empty(0, np.int16),
        genre_popular=Csr(np.zeros(1, np.int64), np.empty(0, np.int32), 0, np.empty(0, np.float32)),
        **{f.name: [] for f in fields(BundleParts) if f.name.endswith(("_ids", "_titles", "_artists"))},
        song_id_rows=np.empty(0, np.int32),
    )
    bundle = write_bundle(tmp_path / "empty", empty)
    assert bundle.user_ids.find(["ann"]).tolist() == [-1]


def test_two_opens_map_the_same_pages_and_cannot_write_them(written):
    """Shared, read-only mappings of one file: the second open adds no memory."""
    bundles = [open_bundle(written), open_bundle(written)]
    maps = Path("/proc/self/maps").read_text().splitlines()
    for name in ("factors.safetensors", "candidates.indices.npy", "user_ids.bytes.npy", "song_keys.hashes.npy"):
        lines = [line.split() for line in maps if line.endswith(str(written / name))]
        assert len(lines) >= 2
        assert {fields[1] for fields in lines} == {"r--s"}
        assert len({fields[4] for fields in lines}) == 1  # one inode
    with pytest.raises(ValueError, match="read-only"):
        bundles[0].user_factors[0, 0] = 9


@pytest.mark.parametrize(
    "modules",
    ["spotify_buddies.trainer.bundle", "spotify_buddies.trainer.bundle, spotify_buddies.trainer.registry.registry"],
)
def test_serving_needs_no_torch_polars_or_mlflow_to_open_a_bundle(modules):
    heavy = "{'torch', 'polars', 'mlflow', 'sqlalchemy', 'ray'}"
    code = f"import sys, {modules}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_tensors_equal_the_librarys_own_reading(written):
    from safetensors.numpy import load_file

    ours, theirs = map_tensors(written / "factors.safetensors"), load_file(written / "factors.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, (4).to_bytes(8, "little") + b"[1] "])
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a safetensors file|Expecting"):
        map_tensors(path)
