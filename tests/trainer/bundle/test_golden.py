"""Golden listeners of a bundle: numbers worked by hand, and when there are none."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import BundleError, Golden, open_bundle, write_bundle
from spotify_buddies.trainer.bundle.golden import GOLDEN, LENGTH
from spotify_buddies.trainer.bundle.golden_lists import LOOKED_AT, USERS


def test_golden_lists_are_the_candidates_by_score_without_the_own_playlists(bundle_parts, tmp_path):
    # Scores: ann 1 and 3; bob 2 and 4, of which p1 is his own; zoë has no candidates.
    parts = replace(bundle_parts, candidates=Csr.from_rows([[0, 1], [0, 1], []], 2))
    bundle = write_bundle(tmp_path / "bundle", parts)
    assert bundle.golden == (Golden("ann", ("p2", "p1"), (3.0, 1.0)), Golden("bob", ("p2",), (4.0,)))
    assert GOLDEN in bundle.manifest.files
    assert open_bundle(bundle.directory).golden == bundle.golden


def test_a_listener_whose_scores_are_equal_is_not_golden(bundle_parts, tmp_path):
    parts = replace(bundle_parts, playlist_factors=np.array([[1, 2], [1, 4]], np.float32))
    assert [one.user_id for one in write_bundle(tmp_path / "bundle", parts).golden] == ["bob"]


def test_a_user_without_finite_scores_is_not_golden(bundle_parts, tmp_path):
    candidates = Csr.from_rows([[0], [1], [1]], 2)
    factors = np.array(bundle_parts.user_factors)
    factors[[0, 2]] = np.nan
    parts = replace(bundle_parts, candidates=candidates, user_factors=factors, owner=np.full(2, -1, np.int32))
    assert [one.user_id for one in write_bundle(tmp_path / "bundle", parts).golden] == ["bob"]


def test_among_many_users_without_finite_scores_those_with_them_are_golden(bundle_parts, tmp_path):
    # Of the 127 with candidates, as many as are looked at are just those without finite scores.
    users = 2 * LOOKED_AT
    factors = np.tile(np.array(bundle_parts.user_factors[:1]), (users, 1))
    factors[1::2] = np.nan
    parts = replace(
        bundle_parts,
        user_factors=factors,
        candidates=Csr.from_rows([[], *[[0, 1]] * (users - 1)], 2),
        user_songs=Csr.from_rows([[0]] * users, 4),
        owned=Csr.from_rows([[]] * users, 2),
        owner=np.full(2, -1, np.int32),
        user_ids=[f"u{user}" for user in range(users)],
    )
    golden = write_bundle(tmp_path / "bundle", parts).golden
    assert [int(one.user_id[1:]) % 2 for one in golden] == [0] * USERS


def test_a_bundle_without_golden_listeners_opens(bundle_parts, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", replace(bundle_parts, candidates=Csr.from_rows([[], [], []], 2)))
    assert bundle.golden == ()
    assert not (bundle.directory / GOLDEN).exists()


def test_of_many_listeners_a_handful_is_kept_over_the_whole_range(bundle_parts, tmp_path):
    users, playlists = 300, 40
    rng = np.random.default_rng(3)
    parts = replace(
        bundle_parts,
        user_factors=rng.normal(size=(users, 8)).astype(np.float32),
        playlist_factors=rng.normal(size=(playlists, 8)).astype(np.float32),
        candidates=Csr.from_rows([list(range(playlists))] * users, playlists),
        user_songs=Csr.from_rows([[0]] * users, 4),
        owned=Csr.from_rows([[]] * users, playlists),
        owner=np.full(playlists, -1, np.int32),
        sketches=np.zeros((playlists, 64), np.uint8),
        genre_popular=replace(bundle_parts.genre_popular, columns=playlists),
        user_ids=[f"u{user}" for user in range(users)],
        playlist_ids=[f"p{playlist}" for playlist in range(playlists)],
        playlist_titles=[""] * playlists,
    )
    golden = write_bundle(tmp_path / "bundle", parts).golden
    rows = [int(one.user_id[1:]) for one in golden]
    assert len(golden) == USERS
    assert rows == sorted(rows)
    assert rows[0] < 30
    assert rows[-1] > 270
    for one, user in zip(golden, rows, strict=True):
        scores = parts.playlist_factors.astype(np.float64) @ parts.user_factors[user].astype(np.float64)
        best = np.argsort(-scores)[:LENGTH]
        assert one.playlist_ids == tuple(f"p{row}" for row in best)
        assert one.scores == pytest.approx(scores[best], abs=1e-5)


def test_a_golden_file_of_another_form_is_refused(bundle_parts, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", bundle_parts)
    (bundle.directory / GOLDEN).write_text(json.dumps([{"user": "ann"}]))
    with pytest.raises(BundleError, match="user_id"):
        open_bundle(bundle.directory, check_hashes=False)
