"""One known user in one call: the same bytes and the same list as one step after another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.errors import NonFiniteScores
from spotify_buddies.serve_app.ranking.encoding import Encoder, Shared, SingleAnswers, draw_ids
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Arm, Source
from spotify_buddies.serve_app.ranking.reasons import explain
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle import BundleParts, write_bundle
from spotify_buddies.trainer.bundle.sources import FOLLOWS, PAIRING, TASTE
from tests.serve_app.bundles import NO_PAIRING, PLAYLISTS, SONGS, USERS, parts

NOTHING = np.empty(0, np.int32)
DRAWN = draw_ids(1)


def bare(given: BundleParts) -> BundleParts:
    """As bundles were before they held sources of candidates and songs of playlists."""
    return given


def full(given: BundleParts) -> BundleParts:
    """With all that a bundle may hold for known users."""
    rng = np.random.default_rng(3)
    count = given.candidates.nnz
    return replace(
        given,
        candidates=replace(given.candidates, values=np.zeros(count, np.float32)),
        candidate_sources=rng.choice([PAIRING, TASTE, PAIRING | TASTE, FOLLOWS], count).astype(np.uint8),
        playlist_songs=Csr.from_rows([np.sort(rng.choice(SONGS, 5, replace=False)) for _ in range(PLAYLISTS)], SONGS),
        owner=np.where(np.arange(PLAYLISTS) % 2 == 0, given.owner, -1).astype(np.int32),
        artist_rows=rng.integers(-1, 40, SONGS).astype(np.int32),
        followed=Csr.from_rows([np.sort(rng.choice(PLAYLISTS, 9, replace=False)) for _ in range(USERS)], PLAYLISTS),
        co_followers=Csr.from_rows([rng.choice(USERS, 5, replace=False) for _ in range(USERS)], USERS),
    )  # fmt: skip


@pytest.fixture(scope="module", params=[bare, full])
def engine(request: pytest.FixtureRequest, bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    made = request.param(parts(bundle_dir / "index"))
    return Engine(write_bundle(tmp_path_factory.mktemp("single") / "bundle", made), "7")


RULES = {
    "none": Rules(),
    "owners": Rules(max_per_owner=1, max_song_overlap=0.2, max_song_containment=0.3),
    "adventurous": Rules(adventurous=0.4),
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("explained", [True, False])
@pytest.mark.parametrize("limit", [1, 5, 100])
def test_the_answer_of_everybody_is_that_of_the_single_steps(
    engine: Engine, rules: Rules, explained: bool, limit: int
) -> None:
    encoder = Encoder(engine)
    single = SingleAnswers(engine, Shared.of(engine, encoder))
    excluded = np.arange(0, PLAYLISTS, 7, dtype=np.int32)
    for user in range(USERS):
        name = f"user-{user}"
        blocked = Csr.from_rows([np.arange(user % 5, PLAYLISTS, 11)], PLAYLISTS) if user % 2 else None
        for arm in Arm:
            given = replace(rules, blocked=blocked)
            answer = single.answer(name, limit, excluded, given, DRAWN, arm, explained=explained)
            lists = engine.rank_known([name], limit, excluded, given)
            if user == NO_PAIRING:
                assert answer is None, "songs and no list: searched with"
                continue
            assert answer is not None
            data, answered = answer
            assert data == encoder.encode(lists, DRAWN, explain(engine, lists) if explained else None, arm=arm)
            assert answered.sources == lists.sources == (Source.LIVE,)
            for name_of in ("rows", "scores", "counts", "song_rows", "candidate_sources"):
                np.testing.assert_array_equal(getattr(answered, name_of), getattr(lists, name_of), name_of)
            assert (answered.user_ids, answered.skipped, answered.unknown_songs) == ((name,), ((),), (0,))


@pytest.mark.parametrize("name", ["nobody", "", "user-1 ", "日本", "\ud800"])
def test_people_whom_the_bundle_does_not_know_get_what_is_popular(engine: Engine, name: str) -> None:
    encoder = Encoder(engine)
    answer = SingleAnswers(engine, Shared.of(engine, encoder)).answer(
        name, 5, NOTHING, Rules(), DRAWN, Arm.CANARY, explained=True
    )
    lists = engine.rank_known([name], 5, NOTHING)
    assert answer is not None
    assert answer[0] == encoder.encode(lists, DRAWN, explain(engine, lists), arm=Arm.CANARY)
    assert answer[1].sources == (Source.POPULAR,)
    assert answer[1].song_rows.tolist() == [-1]


def test_a_known_user_without_songs_and_candidates_gets_what_is_popular(engine: Engine) -> None:
    bundle = engine.bundle
    silent = replace(bundle, user_songs=Csr.from_rows([[]] * USERS, SONGS))
    quiet = Engine(silent, "7")
    answer = SingleAnswers(quiet, Shared.of(quiet, Encoder(quiet))).answer(
        f"user-{NO_PAIRING}", 5, NOTHING, Rules(), DRAWN, Arm.PRODUCTION, explained=True
    )
    assert answer is not None
    assert answer[1].sources == (Source.POPULAR,)


def test_scores_that_are_not_finite_are_refused(engine: Engine) -> None:
    factors = np.full_like(engine.bundle.user_factors, np.nan)
    stored = engine.bundle.candidates
    values = None if stored.values is None else np.full_like(stored.values, np.nan)
    broken = Engine(replace(engine.bundle, user_factors=factors, candidates=replace(stored, values=values)), "7")
    with pytest.raises(NonFiniteScores, match="version 7"):
        SingleAnswers(broken, Shared.of(broken, Encoder(broken))).answer(
            "user-0", 5, NOTHING, Rules(), DRAWN, Arm.PRODUCTION, explained=True
        )
