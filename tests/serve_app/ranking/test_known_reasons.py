"""Reasons whose kind the bundle holds: the same as those that are looked for, and no false count if it is wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking.encoding import Encoder, Shared, SingleAnswers, draw_ids
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.kernels import kinds
from spotify_buddies.serve_app.ranking.query import Arm, RankedLists, ReasonKind, Taste
from spotify_buddies.serve_app.ranking.reasons import explain
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle import BundleParts, write_bundle
from spotify_buddies.trainer.bundle.reasons import codes
from tests.serve_app.bundles import PLAYLISTS, SONGS, USERS, parts
from tests.serve_app.ranking.cold_path import NONE

IDS = [f"user-{user}" for user in range(USERS)]
KINDS = {ReasonKind.OWNER, ReasonKind.SONGS, ReasonKind.ARTISTS, ReasonKind.FOLLOWERS, ReasonKind.TASTE}


def mixed(index: Path, seed: int) -> BundleParts:
    """Short libraries and playlists, few owners, many artists: reasons of every kind, and users without any songs."""
    rng = np.random.default_rng(seed)
    given = parts(index, seed)

    def sets(rows: int, columns: int, most: int) -> Csr:
        drawn = [np.sort(rng.choice(columns, rng.integers(0, most), replace=False)) for _ in range(rows)]
        return Csr.from_rows(drawn, columns)

    owner = np.where(rng.random(PLAYLISTS) < 0.5, -1, given.owner).astype(np.int32)
    return replace(
        given,
        owner=owner,
        owned=Csr.from_rows([np.flatnonzero(owner == user) for user in range(USERS)], PLAYLISTS),
        user_songs=sets(USERS, SONGS, 8),
        playlist_songs=sets(PLAYLISTS, SONGS, 6),
        artist_rows=rng.integers(-1, 60, SONGS).astype(np.int32),
        followed=sets(USERS, PLAYLISTS, 25),
        co_followers=sets(USERS, USERS, 9),
    )  # fmt: skip


def open_engine(made: BundleParts, directory: Path) -> Engine:
    return Engine(write_bundle(directory, made), "7")


def unsaid(engine: Engine) -> Engine:
    """Of the same bundle as an earlier release wrote it."""
    return Engine(replace(engine.bundle, candidate_reasons=None), "7")


def both(engine: Engine, lists: RankedLists) -> Counter[int]:
    """Compare the reasons of lists with those that are looked for; how many there are of each kind."""
    told = explain(engine, lists)
    plain = unsaid(engine)
    users = lists.songs is engine.bundle.user_songs
    found = explain(plain, replace(lists, songs=plain.bundle.user_songs) if users else lists)
    for name in ("shared", "kinds", "examples"):
        assert np.array_equal(getattr(told, name), getattr(found, name)), name
    return Counter(told.kinds[lists.rows >= 0].tolist())


@pytest.fixture(scope="module")
def index(bundle_dir: Path) -> Path:
    return bundle_dir / "index"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_said_is_what_is_found_for_every_way_to_a_list(index: Path, tmp_path: Path, seed: int) -> None:
    engine = open_engine(mixed(index, seed), tmp_path / "bundle")
    seen = both(engine, engine.rank_known([*IDS, "nobody"], 60, NONE))
    assert min(seen[kind] for kind in KINDS) > 10
    # Candidates of others than the bundle's are not said, in any order.
    rows = np.array([4, -1, 9, 4], np.int32)
    given = Csr.from_rows([[5, 80, 2], [1], [7], np.arange(PLAYLISTS)], PLAYLISTS)
    assert both(engine, engine.rank_candidates(rows, given, 40, NONE)).total() > 40
    excluded = engine.find_playlists([f"list-{p}" for p in range(0, PLAYLISTS, 2)])
    both(engine, engine.rank_known(IDS, 7, excluded, Rules(max_per_owner=1)))
    assert both(engine, engine.rank_known([], 7, NONE)).total() == 0


def test_tastes_are_nobodys_candidates(index: Path, tmp_path: Path) -> None:
    """Row i of the tastes is not user i, whose candidates the bundle explains."""
    engine = open_engine(mixed(index, 1), tmp_path / "bundle")
    tastes = [Taste(f"user-{i}", (engine.bundle.song_ids.table[i],)) for i in range(20)]
    near = Csr(np.arange(0, 61, 3), np.tile(np.array([1, 2, 3], np.int32), 20), USERS, np.full(60, 0.5, np.float32))
    lists = engine.rank_tastes(tastes, engine.find_songs(tastes), near, 20, NONE)
    assert both(engine, lists).total() > 40


def test_one_user_in_one_call_gets_the_reasons_of_many(index: Path, tmp_path: Path) -> None:
    engine = open_engine(mixed(index, 2), tmp_path / "bundle")
    encoder, drawn = Encoder(engine), draw_ids(1)
    single = SingleAnswers(engine, Shared.of(engine, encoder))
    plain = SingleAnswers(unsaid(engine), Shared.of(unsaid(engine), encoder))
    answered = 0
    for user in IDS:
        told, found = (
            one.answer(user, 30, NONE, Rules(), drawn, Arm.PRODUCTION, explained=True) for one in (single, plain)
        )
        assert (told is None) == (found is None)
        if told is not None and found is not None:
            assert told[0] == found[0]
            lists = engine.rank_known([user], 30, NONE)
            assert told[0] == encoder.encode(lists, drawn, explain(engine, lists))
            answered += 1
    assert answered > USERS // 2


def test_what_is_said_wrongly_of_songs_is_never_counted(index: Path, tmp_path: Path) -> None:
    engine = open_engine(mixed(index, 3), tmp_path / "bundle")
    rng = np.random.default_rng(3)
    wrong = rng.integers(codes.TASTE, codes.ARTISTS + 1, engine.bundle.candidates.nnz).astype(np.uint8)
    lying = Engine(replace(engine.bundle, candidate_reasons=wrong), "7")
    lists = lying.rank_known(IDS, 60, NONE)
    reasons = explain(lying, lists)
    counted = np.isin(reasons.kinds, [ReasonKind.OWNER, ReasonKind.SONGS, ReasonKind.ARTISTS, ReasonKind.FOLLOWERS])
    assert counted.sum() > 100
    assert np.array_equal(reasons.shared > 0, counted)
    assert set(reasons.kinds[lists.rows >= 0].tolist()) <= {*KINDS, ReasonKind.POPULAR}


def test_codes_have_the_numbers_of_the_kinds() -> None:
    said = [codes.TASTE, codes.OWNER, codes.SONGS, codes.ARTISTS, codes.ARTISTS + 1]
    assert said == [kinds.TASTE, kinds.OWNER, kinds.SONGS, kinds.ARTISTS, kinds.FOLLOWERS]
