"""The engine asked without a service, on a generated bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.offline.asked import OfflineRanker
from spotify_buddies.serve_app.offline.cli import open_ranker
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle import Bundle, BundleError, open_bundle
from tests.serve_app.bundles import NO_PAIRING, PLAYLISTS, SONGS, USERS, make_bundle

QUERY = Query()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(make_bundle(tmp_path_factory.mktemp("offline")))


@pytest.fixture(scope="module")
def ranker(bundle: Bundle) -> OfflineRanker:
    return open_ranker(bundle.directory)


def nothing(rows: int) -> Csr:
    return Csr.from_rows([[]] * rows, PLAYLISTS)


def test_lists_are_those_of_the_engine_with_the_rules_of_a_request_that_names_none(
    bundle: Bundle, ranker: OfflineRanker
) -> None:
    users = np.arange(NO_PAIRING, dtype=np.int32)
    found = ranker.rank_known(users, nothing(users.size), 5)
    rules = Rules(None, QUERY.max_per_owner, QUERY.max_song_overlap, QUERY.max_song_containment)
    ids = [f"user-{user}" for user in users]
    lists = Engine(bundle, "1").rank_known(ids, 5, np.empty(0, np.int32), rules)
    for row, expected, count in zip(found, lists.rows, lists.counts, strict=True):
        assert row[:count].tolist() == expected[:count].tolist()
        assert (row[count:] == -1).all()


def test_what_was_seen_does_not_come_back_and_others_are_as_before(ranker: OfflineRanker) -> None:
    users = np.array([3, 4, 3], np.int32)
    before = ranker.rank_known(users, nothing(3), 5)
    seen = Csr.from_rows([np.sort(before[0, :2]), [], []], PLAYLISTS)
    after = ranker.rank_known(users, seen, 5)
    assert not np.isin(after[0], before[0, :2]).any()
    assert after[1:].tolist() == before[1:].tolist()


def test_more_people_than_a_query_names_are_all_answered_in_order(ranker: OfflineRanker) -> None:
    users = np.tile(np.arange(USERS, dtype=np.int32), 20)
    found = ranker.rank_known(users, nothing(users.size), 3)
    assert len(found) == users.size > 500
    assert found[-USERS:].tolist() == found[:USERS].tolist()


def test_a_stranger_is_found_by_the_names_of_the_songs(bundle: Bundle, ranker: OfflineRanker) -> None:
    songs = Csr.from_rows([bundle.user_songs.row(5), []], SONGS)
    found = ranker.rank_strangers(songs, nothing(2), 5)
    assert (found[0] >= 0).all()
    # Who names no song gets what is popular.
    assert found[1].tolist() == [int(row) for row in bundle.popular if row >= 0][:5] or (found[1] >= 0).all()
    offered, sources = ranker.offer_strangers(songs, 50)
    assert set(sources[: offered.counts[0]].tolist()) == {1}
    assert set(sources[offered.counts[0] :].tolist()) == {8}


def test_candidates_of_strangers_are_no_fewer_where_all_playlists_hold_the_same_songs(
    bundle: Bundle, ranker: OfflineRanker
) -> None:
    alike = replace(bundle, playlist_songs=Csr.from_rows([[0, 1, 2]] * PLAYLISTS, SONGS))
    songs = Csr.from_rows([bundle.user_songs.row(5)], SONGS)
    offered, _ = ranker.offer_strangers(songs, 50)
    told, _ = OfflineRanker(alike).offer_strangers(songs, 50)
    assert told.counts.tolist() == offered.counts.tolist()
    assert (OfflineRanker(alike).rank_strangers(songs, nothing(1), 5)[0] >= 0).sum() == 1


def test_candidates_are_the_stored_ones_and_come_from_the_pairing_unless_the_bundle_says_more(
    bundle: Bundle, ranker: OfflineRanker
) -> None:
    users = np.array([7, 2], np.int32)
    offered, sources = ranker.offer_known(users, 50)
    assert offered.row(0).tolist() == bundle.candidates.row(7).tolist()
    assert offered.row(1).tolist() == bundle.candidates.row(2).tolist()
    assert set(sources.tolist()) == {1}
    marked = replace(bundle, candidate_sources=(np.arange(bundle.candidates.nnz) % 16 + 1).astype(np.uint8))
    _, told = OfflineRanker(marked).offer_known(users, 50)
    span = slice(int(bundle.candidates.indptr[7]), int(bundle.candidates.indptr[8]))
    assert told[: offered.counts[0]].tolist() == (np.arange(bundle.candidates.nnz) % 16 + 1)[span].tolist()


def test_a_user_without_candidates_is_offered_what_is_ranked_when_asking(ranker: OfflineRanker) -> None:
    users = np.array([NO_PAIRING, 1], np.int32)
    offered, sources = ranker.offer_known(users, 30)
    assert 0 < offered.counts[0] <= 30
    assert offered.nnz == sources.size
    alone, _ = ranker.offer_known(users[1:], 30)
    assert offered.row(1).tolist() == alone.row(0).tolist()


def test_a_directory_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle here"):
        open_ranker(tmp_path)


def test_scores_that_are_not_finite_and_an_index_for_others_refuse_the_bundle(bundle: Bundle) -> None:
    wild = replace(
        bundle,
        user_factors=np.full_like(bundle.user_factors, np.inf),
        candidates=replace(bundle.candidates, values=np.full(bundle.candidates.nnz, np.nan, np.float32)),
    )
    with pytest.raises(BundleError, match="not finite"):
        OfflineRanker(wild).rank_known(np.array([1], np.int32), nothing(1), 5)
    fewer = Csr.from_rows([bundle.user_songs.row(user) for user in range(USERS - 1)], SONGS)
    with pytest.raises(BundleError, match=str(bundle.directory)):
        OfflineRanker(replace(bundle, user_songs=fewer)).rank_strangers(
            bundle.user_songs.take(np.array([1])), nothing(1), 1
        )


def test_the_index_is_needed_by_people_without_candidates_alone(bundle: Bundle, tmp_path: Path) -> None:
    ranker = OfflineRanker(replace(bundle, index=tmp_path))
    assert ranker.rank_known(np.array([1], np.int32), nothing(1), 1)[0, 0] >= 0
    with pytest.raises(BundleError, match="not an index"):
        ranker.rank_strangers(bundle.user_songs.take(np.array([1])), nothing(1), 1)
