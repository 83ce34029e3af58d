"""One taste that is counted in this process: the same bytes and lists as by the neighbour index, step by step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.counted import CountedSearch
from spotify_buddies.pairing.neighbours.search import NeighbourSearch
from spotify_buddies.serve_app.errors import NonFiniteScores
from spotify_buddies.serve_app.ranking.encoding import Encoder, Shared, TasteAnswers, draw_ids
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Arm, RankedLists, SongName, Source, Taste
from spotify_buddies.serve_app.ranking.reasons import explain
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle import BundleParts, SongFactors, write_bundle
from tests.serve_app.bundles import DIMENSION, PLAYLISTS, SONGS, USERS, parts
from tests.serve_app.ranking.test_single import RULES, bare, full

NOTHING = np.empty(0, np.int32)
DRAWN = draw_ids(1)
NEAREST = 20
EVERYTHING = 10**9


def learned(given: BundleParts) -> BundleParts:
    """With what a model of songs brings: their factors, and the playlists nearest to a factor."""
    rng = np.random.default_rng(5)
    return replace(
        full(given),
        song_factors=SongFactors(
            rng.normal(size=(SONGS, 4)).astype(np.float16),
            rng.normal(size=(SONGS, 3)).astype(np.float16),
            rng.random(SONGS).astype(np.float32),
            np.array([2], np.float32),
            np.array([0.5], np.float32),
            np.array([1], np.float32),
        ),
        retrieval_scale=np.where(np.arange(DIMENSION) < 6, 1, 0).astype(np.float32),
        refused=Csr.from_rows([np.arange(user % 7, PLAYLISTS, 9) for user in range(USERS)], PLAYLISTS),
    )  # fmt: skip


def respelled(given: BundleParts) -> BundleParts:
    """With names that are matched in full, and songs that go by other names too."""
    return replace(
        full(given), matching="full", song_aliases=["other name\x1fartist 3"], song_alias_rows=np.array([17], np.int32)
    )


@pytest.fixture(scope="module", params=[bare, full, learned, respelled])
def engine(request: pytest.FixtureRequest, bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    made = request.param(parts(bundle_dir / "index"))
    return Engine(write_bundle(tmp_path_factory.mktemp("taste") / "bundle", made), "7")


def answers_of(engine: Engine, most: int = EVERYTHING) -> TasteAnswers:
    search = CountedSearch.open(engine.bundle.index, engine.bundle.user_songs, most)
    return TasteAnswers(engine, Shared.of(engine, Encoder(engine)), search, NEAREST)


def tastes() -> list[Taste]:
    """Of strangers and of users, by name, by id and by both, with songs twice and songs that nobody knows."""
    rng = np.random.default_rng(11)
    made = [
        Taste("", ("SO0004",)),
        Taste("x", ("nothing", SongName("no", "where"))),
        Taste("y", (SongName(" ", "Artist 1"), SongName("Song 3", "Artist 3"))),
        Taste("z", (SongName("Other Name", "Artist 3"), "SO0004", "SO0004", SongName("SONG 4", " artist 4 "))),
        Taste("\ud800", tuple(SongName(f"Song {song}", f"Artist {song % 11}") for song in range(SONGS))),
    ]
    for user in range(0, USERS, 3):
        songs = rng.choice(SONGS, rng.integers(1, 30))
        named = tuple(
            f"SO{song:04}" if rng.random() < 0.3 else SongName(f"Song {song}", f"Artist {song % 11}")
            for song in songs.tolist()
        )
        made.append(Taste(f"user-{user}" if user % 2 else f"guest-{user}", named))
    return made


def step_by_step(engine: Engine, taste: Taste, limit: int, excluded: np.ndarray, rules: Rules) -> RankedLists:
    found = engine.find_songs([taste])
    search = NeighbourSearch.open(engine.bundle.index, engine.bundle.user_songs)
    near = search.search(found.songs, NEAREST)
    return engine.rank_tastes([taste], found, near, limit, excluded, rules)


def answered(
    answers: TasteAnswers, taste: Taste, limit: int, excluded: np.ndarray, rules: Rules, arm: Arm, *, explained: bool
) -> tuple[bytes, RankedLists]:
    counted = answers.count(taste)
    assert counted.counted
    nearest = answers.nearest(taste, counted, excluded, rules)
    return answers.answer(taste, counted, nearest, limit, excluded, rules, DRAWN, arm, explained=explained)


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("explained", [True, False])
@pytest.mark.parametrize("limit", [1, 5, 100])
def test_the_answer_is_that_of_the_index_and_of_the_single_steps(
    engine: Engine, rules: Rules, explained: bool, limit: int
) -> None:
    encoder, answers = Encoder(engine), answers_of(engine)
    excluded = np.arange(0, PLAYLISTS, 7, dtype=np.int32)
    sources = set()
    for place, taste in enumerate(tastes()):
        blocked = Csr.from_rows([np.arange(place % 5, PLAYLISTS, 11)], PLAYLISTS) if place % 2 else None
        given, arm = replace(rules, blocked=blocked), Arm(1 + place % 2)
        data, lists = answered(answers, taste, limit, excluded, given, arm, explained=explained)
        wanted = step_by_step(engine, taste, limit, excluded, given)
        assert data == encoder.encode(wanted, DRAWN, explain(engine, wanted) if explained else None, arm=arm)
        assert lists.sources == wanted.sources
        sources |= set(lists.sources)
        for name in ("rows", "scores", "counts", "song_rows", "candidate_sources"):
            np.testing.assert_array_equal(getattr(lists, name), getattr(wanted, name), name)
        assert (lists.user_ids, lists.skipped, lists.unknown_songs) == (
            wanted.user_ids, wanted.skipped, wanted.unknown_songs
        )  # fmt: skip
        assert lists.songs.row(0).tolist() == wanted.songs.row(0).tolist()
    assert sources >= {Source.COLD_NEIGHBOURS, Source.POPULAR}


def test_what_no_neighbour_owns_comes_from_the_genre_of_the_songs(engine: Engine) -> None:
    """Nobody has song 88 and its neighbour; songs 0..29 are of genre 0."""
    bundle = engine.bundle
    poor = Engine(
        replace(bundle, owned=Csr.from_rows([[]] * USERS, PLAYLISTS), retrieval_scale=None, song_factors=None), "7"
    )
    taste = Taste("x", ("SO0004", "SO0010"))
    _, lists = answered(answers_of(poor), taste, 3, NOTHING, Rules(), Arm.PRODUCTION, explained=True)
    wanted = step_by_step(poor, taste, 3, NOTHING, Rules())
    assert lists.sources == wanted.sources == (Source.POPULAR_IN_GENRE,)
    assert lists.rows.tolist() == wanted.rows.tolist()


def test_a_taste_with_more_listeners_than_the_bound_is_not_counted(engine: Engine) -> None:
    taste = Taste("x", ("SO0004", "SO0010"))
    work = answers_of(engine).count(taste).work
    assert work == engine.bundle.song_listeners[[4, 10]].sum()
    assert answers_of(engine, work).count(taste).counted
    refused = answers_of(engine, work - 1).count(taste)
    assert (refused.counted, refused.songs.tolist(), refused.work) == (False, [4, 10], work)


def test_scores_that_are_not_finite_are_refused(engine: Engine) -> None:
    broken = Engine(replace(engine.bundle, playlist_factors=np.full_like(engine.bundle.playlist_factors, np.nan)), "7")
    with pytest.raises(NonFiniteScores, match="version 7"):
        answered(answers_of(broken), Taste("x", ("SO0004",)), 5, NOTHING, Rules(), Arm.PRODUCTION, explained=True)
