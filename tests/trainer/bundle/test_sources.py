"""The optional fields of a bundle: sources, offsets, the scale of retrieval, songs of playlists, artists, follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import BundleError, CandidateSource, open_bundle, write_bundle
from spotify_buddies.trainer.bundle.manifest import describe_files, read_manifest
from spotify_buddies.trainer.bundle.scores import best_first
from spotify_buddies.trainer.bundle.sources import names_of


@pytest.fixture
def sourced(bundle_parts):
    """Scores without offsets: ann 1 and 3; bob 4. With them: ann 6 and 3; bob 4.5."""
    return replace(
        bundle_parts,
        candidates=replace(bundle_parts.candidates, values=np.array([5, 0, 0.5], np.float32)),
        candidate_sources=np.array([1, 2, 2 | 16], np.uint8),
        retrieval_scale=np.array([1, 0.1], np.float32),
        playlist_songs=Csr.from_rows([[0, 2], []], 4),
        artist_rows=np.array([0, 1, -1, 0], np.int32),
        followed=Csr.from_rows([[0], [], [0, 1]], 2),
        co_followers=Csr.from_rows([[2], [], [0]], 3),
        refused=Csr.from_rows([[0], [0], [0, 1]], 2),
    )


def test_candidates_are_ordered_by_their_whole_score_and_keep_their_sources(sourced, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", sourced)
    assert bundle.candidates.row(0).tolist() == [0, 1]
    assert bundle.candidates.values.tolist() == [6, 3, 4.5]
    assert bundle.candidate_offsets.tolist() == [5, 0, 0.5]
    assert bundle.candidate_sources.tolist() == [1, 2, 18]
    assert bundle.retrieval_scale.tolist() == pytest.approx([1, 0.1])
    assert [bundle.playlist_songs.row(row).tolist() for row in range(2)] == [[0, 2], []]
    assert bundle.artist_rows.tolist() == [0, 1, -1, 0]
    assert [bundle.followed.row(row).tolist() for row in range(3)] == [[0], [], [0, 1]]
    assert [bundle.co_followers.row(row).tolist() for row in range(3)] == [[2], [], [0]]
    assert [bundle.refused.row(row).tolist() for row in range(3)] == [[0], [0], [0, 1]]


def test_sources_move_with_their_candidates(bundle_parts, tmp_path):
    parts = replace(bundle_parts, candidate_sources=np.array([1, 2, 16], np.uint8))
    bundle = write_bundle(tmp_path / "bundle", parts)
    assert bundle.candidates.row(0).tolist() == [1, 0]
    assert bundle.candidate_sources.tolist() == [2, 1, 16]
    assert bundle.candidate_offsets is None


def test_golden_lists_hold_whole_scores(sourced, tmp_path):
    golden = write_bundle(tmp_path / "bundle", replace(sourced, refused=None)).golden
    assert [(one.user_id, one.playlist_ids, one.scores) for one in golden] == [
        ("ann", ("p1", "p2"), (6.0, 3.0)),
        ("bob", ("p2",), (4.5,)),
    ]


def test_a_bundle_without_the_fields_opens_without_them(bundle_parts, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", bundle_parts)
    for name in ("candidate_sources", "candidate_offsets", "retrieval_scale", "playlist_songs"):
        assert getattr(bundle, name) is None
        assert not list(bundle.directory.glob(f"{name}*"))


@pytest.mark.parametrize(
    ("file", "value", "said"),
    [
        ("candidate_sources", np.array([1, 2, 32], np.uint8), r"entry 2 is 32, outside 0\.\.31"),
        ("candidate_sources", np.array([1, 2], np.uint8), r"uint8 \(2,\), not uint8 \(3,\)"),
        ("candidate_sources", np.array([1, 2, 3], np.int64), r"int64 \(3,\), not uint8 \(3,\)"),
        ("candidate_offsets", np.array([0, np.nan, 0], np.float32), "entry 1 is nan, outside"),
        ("candidate_offsets", np.zeros(4, np.float32), r"float32 \(4,\), not float32 \(3,\)"),
        ("retrieval_scale", np.array([np.inf, 1], np.float32), "entry 0 is inf, outside"),
        ("retrieval_scale", np.zeros(3, np.float32), r"float32 \(3,\), not float32 \(2,\)"),
        ("artist_rows", np.array([0, 4, 0, 0], np.int32), r"entry 1 is 4, outside -1\.\.3"),
        ("artist_rows", np.array([0, 0, -2, 0], np.int32), r"entry 2 is -2, outside -1\.\.3"),
        ("artist_rows", np.zeros(4, np.int64), r"int64 \(4,\), not int32 \(4,\)"),
        ("followed.indices", np.zeros(3, np.int64), "int64, not int32"),
        ("refused.indptr", np.array([0, 1, 2, 4], np.int32), "int32, not int64"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_by_its_file(sourced, tmp_path, file, value, said):
    directory = write_bundle(tmp_path / "bundle", sourced).directory
    _put(directory, file, value)
    with pytest.raises(BundleError, match=rf"{file}\.npy: .*{said}"):
        open_bundle(directory)


def test_songs_of_other_playlists_are_refused(sourced, tmp_path):
    with pytest.raises(BundleError, match=r"playlist_songs has shape \(1, 4\), the manifest says \(2, 4\)"):
        write_bundle(tmp_path / "bundle", replace(sourced, playlist_songs=Csr.from_rows([[0]], 4)))


@pytest.mark.parametrize(
    ("field", "rows", "said"),
    [
        ("followed", Csr.from_rows([[0]], 2), r"followed has shape \(1, 2\), the manifest says \(3, 2\)"),
        (
            "co_followers",
            Csr.from_rows([[0], [], []], 2),
            r"co_followers has shape \(3, 2\), the manifest says \(3, 3\)",
        ),
        ("refused", Csr.from_rows([[0], [], []], 3), r"refused has shape \(3, 3\), the manifest says \(3, 2\)"),
        ("followed", None, "followed and co_followers go together, and one is missing"),
        ("co_followers", None, "followed and co_followers go together, and one is missing"),
    ],
)
def test_follows_that_do_not_fit_are_refused(sourced, tmp_path, field, rows, said):
    with pytest.raises(BundleError, match=said):
        write_bundle(tmp_path / "bundle", replace(sourced, **{field: rows}))


@pytest.mark.parametrize(("matrix", "most"), [("followed", 1), ("co_followers", 2), ("refused", 1)])
def test_a_column_of_follows_out_of_range_is_refused(sourced, tmp_path, matrix, most):
    directory = write_bundle(tmp_path / "bundle", sourced).directory
    wrong = np.load(directory / f"{matrix}.indices.npy")
    wrong[0] = most + 1
    _put(directory, f"{matrix}.indices", wrong)
    with pytest.raises(BundleError, match=rf"{matrix}: indices leave the range 0\.\.{most}: entry 0 is {most + 1}"):
        open_bundle(directory)


def test_a_golden_list_holds_nothing_that_its_user_is_refused(sourced, tmp_path):
    """Ann has both playlists as candidates and is refused p1, the better one."""
    golden = {one.user_id: one.playlist_ids for one in write_bundle(tmp_path / "bundle", sourced).golden}
    assert golden["ann"] == ("p2",)
    allowed = write_bundle(tmp_path / "other", replace(sourced, refused=None)).golden
    assert {one.user_id: one.playlist_ids for one in allowed}["ann"] == ("p1", "p2")


def test_sources_of_other_candidates_are_refused(bundle_parts, tmp_path):
    with pytest.raises(BundleError, match="candidate"):
        write_bundle(tmp_path / "bundle", replace(bundle_parts, candidate_sources=np.zeros(2, np.uint8)))
    with pytest.raises(ValueError, match=r"offsets of candidates have shape \(2,\), not \(1,\)"):
        best_first(Csr.from_rows([[0]], 1), np.ones((1, 1)), np.ones((1, 1)), offsets=np.zeros(2))


def test_a_mask_names_its_sources():
    assert names_of(0) == ()
    assert names_of(CandidateSource.NEW | CandidateSource.PAIRING) == ("pairing", "new")
    assert names_of(31) == ("pairing", "taste", "follows", "popular", "new")


def _put(directory: Path, name: str, array: np.ndarray) -> None:
    np.save(directory / f"{name}.npy", array)
    replace(read_manifest(directory), files=describe_files(directory)).write(directory)
