"""Sources of candidates while serving: bits beside lists, the nearest playlists of tastes, reasons without owners."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.daily.score import inputs, score
from spotify_buddies.serve_app.daily.space import new_space
from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.gathering import FEW, count_sources
from spotify_buddies.serve_app.ranking.query import ReasonKind, Source
from spotify_buddies.serve_app.ranking.reasons import explain
from spotify_buddies.serve_app.ranking.retrieval import Retrieval
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Budgets
from spotify_buddies.trainer.bundle import Bundle, BundleError, SongFactors, open_bundle, write_bundle
from spotify_buddies.trainer.bundle.nearest_index import PLAYLIST_INDEX, build_nearest
from spotify_buddies.trainer.bundle.sources import FOLLOWS, PAIRING, POPULAR, TASTE
from tests.serve_app.bundles import DIMENSION, PLAYLISTS, SONGS, USERS, parts
from tests.serve_app.ranking.cold_path import NONE, ROCK, ask, near, taste

SCALE = np.where(np.arange(DIMENSION) < 4, 1, 0.5).astype(np.float32)


@pytest.fixture(scope="module")
def wide_dir(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated bundle with sources, a scale, songs of playlists, and factors of songs."""
    rng = np.random.default_rng(3)
    given = parts(bundle_dir / "index")
    songs = SongFactors(
        rng.normal(size=(SONGS, 4)).astype(np.float16),
        rng.normal(size=(SONGS, 4)).astype(np.float16),
        np.ones(SONGS, np.float32),
        np.array([1], np.float32),
    )
    wide = replace(
        given,
        candidate_sources=rng.choice([PAIRING, TASTE, PAIRING | TASTE, FOLLOWS], given.candidates.nnz).astype(np.uint8),
        retrieval_scale=SCALE,
        playlist_songs=Csr.from_rows([np.sort(rng.choice(SONGS, 5, replace=False)) for _ in range(PLAYLISTS)], SONGS),
        song_factors=songs,
        owner=np.where(np.arange(PLAYLISTS) % 2 == 0, given.owner, -1).astype(np.int32),
    )
    return write_bundle(tmp_path_factory.mktemp("wide") / "bundle", wide).directory


@pytest.fixture(scope="module")
def wide(wide_dir: Path) -> Engine:
    return Engine(open_bundle(wide_dir), "7")


def test_every_answered_playlist_has_the_sources_of_its_candidate(wide: Engine) -> None:
    lists = wide.rank_known([f"user-{user}" for user in range(USERS - 1)], 10, NONE)
    for user in range(USERS - 1):
        first = int(wide.bundle.candidates.indptr[user])
        bits = dict(zip(wide.bundle.candidates.row(user).tolist(), wide.bundle.candidate_sources[first:], strict=False))
        for place in range(10):
            found = lists.candidate_sources[user, place]
            assert found == (bits[int(lists.rows[user, place])] if place < lists.counts[user] else 0)


def test_popular_lists_are_of_that_source_and_lists_of_older_bundles_of_the_pairing(
    wide: Engine, engine: Engine
) -> None:
    for ranker in (wide, engine):
        lists = ranker.rank_known(["nobody"], 3, NONE)
        assert lists.candidate_sources.tolist() == [[POPULAR] * 3]
    assert engine.rank_known(["user-0"], 1, NONE).candidate_sources.tolist() == [[PAIRING]]
    assert engine.retrieval is None


def test_candidates_that_are_given_keep_the_sources_that_they_have_in_the_bundle(wide: Engine) -> None:
    known = wide.rank_known(["user-3"], 5, NONE)
    given = wide.rank_candidates(known.song_rows, Csr.from_rows([known.rows[0, :3]], PLAYLISTS), 5, NONE)
    assert given.candidate_sources[0, :3].tolist() == known.candidate_sources[0, :3].tolist()
    assert given.part(0, 1).candidate_sources.shape == (1, 5)


class Candidates(Silent):
    def __init__(self) -> None:
        self.counted: dict[str, int] = {}

    def count_candidates(self, source: str, count: int) -> None:
        self.counted[source] = self.counted.get(source, 0) + count


def test_answers_count_their_playlists_by_source(wide: Engine) -> None:
    telemetry = Candidates()
    service = Service(wide, model="m", budgets=Budgets(60.0, 0.05), feedback=None, daily=None, telemetry=telemetry)
    asyncio.run(service.recommend(pb.RecommendRequest(user_ids=["user-3", "nobody"], limit=4)))
    known = wide.rank_known(["user-3"], 4, NONE, Rules(None, 2, 0.8)).candidate_sources[0]
    wanted = {"popular": 4}
    for name, bit in (("pairing", PAIRING), ("taste", TASTE), ("follows", FOLLOWS)):
        if count := int((known & bit > 0).sum()):
            wanted[name] = count
    assert telemetry.counted == wanted


def test_what_taste_alone_answers_is_counted_as_found_by_it(wide: Engine) -> None:
    answer, steps = ask(wide, None, tastes=[taste("SO0004")], limit=3)
    assert answer.recommendations[0].source == pb.SOURCE_COLD_NEIGHBOURS
    assert len(answer.recommendations[0].playlists) == 3
    assert steps == {"found by taste": 1, "search unavailable": 1}


def test_scores_hold_offsets_whoever_gives_the_candidates(bundle_dir: Path, tmp_path: Path) -> None:
    given = parts(bundle_dir / "index")
    offsets = np.random.default_rng(1).normal(size=given.candidates.nnz).astype(np.float32) * 3
    candidates = Csr(given.candidates.indptr, given.candidates.indices, PLAYLISTS, offsets)
    engine = Engine(write_bundle(tmp_path / "bundle", replace(given, candidates=candidates)), "7")
    known = engine.rank_known(["user-3", "user-5"], 5, NONE)
    mixed = Csr.from_rows([engine.bundle.candidates.row(user)[::-1] for user in (3, 5)], PLAYLISTS)
    again = engine.rank_candidates(known.song_rows, mixed, 5, NONE)
    assert again.rows.tolist() == known.rows.tolist()
    assert again.scores.tolist() == known.scores.tolist()
    space = new_space("7", engine.bundle, "day", now=datetime(2026, 1, 1, tzinfo=UTC), ttl_s=1, block_users=USERS)
    (block,) = score(inputs(engine.bundle, space, (0,)), 0, 1)
    assert np.frombuffer(block.value, "<i4").reshape(USERS, -1)[[3, 5], :5].tolist() == known.rows.tolist()


def test_a_taste_without_neighbours_gets_the_playlists_nearest_to_its_factor(wide: Engine) -> None:
    songs = wide.find_songs([ROCK])
    lists = wide.rank_tastes([ROCK], songs, None, 5, NONE)
    factor = wide.bundle.song_factors(songs.songs)[0]
    best = np.argsort(-(wide.bundle.playlist_factors @ factor), kind="stable")[:5]
    assert lists.sources == (Source.COLD_NEIGHBOURS,)
    assert lists.rows[0].tolist() == best.tolist()
    assert lists.candidate_sources.tolist() == [[TASTE] * 5]


def test_a_playlist_of_a_neighbour_that_is_near_too_has_both_sources(wide: Engine) -> None:
    lists = wide.rank_tastes([ROCK], wide.find_songs([ROCK]), near(0, 1, 2), PLAYLISTS, NONE)
    neighbours = {int(p) for user in range(3) for p in wide.bundle.owned.row(user)}
    for row, bits in zip(lists.rows[0].tolist(), lists.candidate_sources[0].tolist(), strict=True):
        assert bits & TASTE
        assert bool(bits & PAIRING) == (row in neighbours)


def test_what_is_excluded_or_blocked_is_not_among_the_nearest(wide: Engine) -> None:
    songs = wide.find_songs([ROCK])
    free = wide.rank_tastes([ROCK], songs, None, 4, NONE).rows[0]
    blocked = Csr.from_rows([np.sort(free[1:3])], PLAYLISTS)
    lists = wide.rank_tastes([ROCK], songs, None, 4, free[:1], Rules(blocked))
    assert lists.rows[0, 0] == free[3]
    assert not set(lists.rows[0].tolist()) & set(free[:3].tolist())


def test_nearest_come_by_the_scaled_product_and_a_vector_of_nothing_gets_none(wide: Engine) -> None:
    assert wide.retrieval is not None
    vectors = np.vstack([wide.bundle.user_factors[:2], np.zeros((1, DIMENSION)), np.full((1, DIMENSION), np.nan)])
    found = wide.retrieval(vectors.astype(np.float32), 7)
    for i in range(2):
        wanted = np.argsort(-((vectors[i] * SCALE) @ wide.bundle.playlist_factors.T), kind="stable")[:7]
        assert found[i].tolist() == wanted.tolist()
    assert (found[2:] == -1).all()


def test_an_index_in_the_bundle_is_what_is_searched(bundle_dir: Path, tmp_path: Path) -> None:
    given = parts(bundle_dir / "index")
    index = build_nearest(given.playlist_factors * SCALE, given.user_factors * SCALE)
    bundle = write_bundle(
        tmp_path / "bundle", replace(given, retrieval_scale=np.ones(DIMENSION, np.float32), nearest=index)
    )
    assert PLAYLIST_INDEX in bundle.manifest.files
    retrieval = Retrieval.of(bundle)
    assert retrieval is not None
    assert retrieval.index is not None
    assert not retrieval.is_cheap(1)
    found = retrieval(bundle.user_factors, 10)
    assert ((found >= 0) & (found < PLAYLISTS)).all()
    assert Engine(bundle, "7").warm_up()


def test_an_index_of_other_playlists_is_refused(bundle_dir: Path, tmp_path: Path) -> None:
    given = parts(bundle_dir / "index")
    other = build_nearest(given.playlist_factors[:50], given.user_factors)
    wrong = replace(given, retrieval_scale=SCALE, nearest=other)
    with pytest.raises(BundleError, match=r"playlists\.faiss: 50 factors of 8 numbers, need 120 of 8"):
        Engine(write_bundle(tmp_path / "bundle", wrong), "7")


def test_joined_lists_hold_each_playlist_once() -> None:
    left, right = np.array([[3, 1, -1]], np.int32), np.array([[1, 2, 3, 0]], np.int32)
    rows, bits, counts = np.empty((1, 7), np.int32), np.empty((1, 7), np.uint8), np.empty(1, np.int64)
    kernels.join(left, PAIRING, right, TASTE, rows, bits, counts)
    assert counts.tolist() == [4]
    assert rows[0, :4].tolist() == [3, 1, 2, 0]
    assert bits[0, :4].tolist() == [PAIRING | TASTE, PAIRING | TASTE, TASTE, TASTE]


def test_without_an_owner_the_reason_is_the_playlists_own_songs(wide: Engine) -> None:
    lists = wide.rank_known([f"user-{user}" for user in range(USERS - 1)], 10, NONE)
    reasons = explain(wide, lists)
    bundle: Bundle = wide.bundle
    seen = set()
    for i in range(USERS - 1):
        mine = set(bundle.user_songs.row(i).tolist())
        for place in range(lists.counts[i]):
            row = int(lists.rows[i, place])
            owner = int(bundle.owner[row])
            with_owner = len(mine & set(bundle.user_songs.row(owner).tolist())) if owner >= 0 else 0
            its = mine & set(bundle.playlist_songs.row(row).tolist())
            assert reasons.shared[i, place] == (with_owner or len(its))
            kind = ReasonKind.OWNER if with_owner else ReasonKind.SONGS if its else ReasonKind.TASTE
            assert reasons.kinds[i, place] == kind
            examples = set(reasons.examples[i, place].tolist()) - {-1}
            if not with_owner:
                assert examples <= its
                assert len(examples) == min(3, len(its))
            seen.add(with_owner > 0)
    assert seen == {True, False}


@pytest.mark.parametrize("places", [0, 1, 5, FEW, FEW + 1, 500])
def test_sources_are_counted_alike_whatever_the_number_of_places(places: int) -> None:
    bits = np.random.default_rng(places).choice([0, PAIRING, TASTE, PAIRING | TASTE, FOLLOWS, POPULAR], places)
    wanted = {
        name: int(np.count_nonzero(bits & bit))
        for name, bit in (("pairing", PAIRING), ("taste", TASTE), ("follows", FOLLOWS), ("popular", POPULAR))
        if (bits & bit).any()
    }
    assert dict(count_sources(bits.astype(np.uint8).reshape(1, -1))) == wanted
