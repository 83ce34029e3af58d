from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Source
from spotify_buddies.serve_app.ranking.reasons import explain, sentence
from spotify_buddies.trainer.bundle import Bundle

NONE = np.empty(0, np.int32)


def test_shared_songs_are_the_intersection_of_both_libraries_best_known_first(engine: Engine, bundle: Bundle) -> None:
    lists = engine.rank_known([f"user-{u}" for u in range(40)], 10, NONE)
    reasons = explain(engine, lists)
    for i in range(40):
        for place in range(lists.counts[i]):
            owner = int(bundle.owner[lists.rows[i, place]])
            both = sorted(set(bundle.user_songs.row(i)) & set(bundle.user_songs.row(owner)))
            best = sorted(both, key=lambda song: -int(bundle.song_listeners[song]))[:3]
            assert reasons.shared[i, place] == len(both)
            assert [song for song in reasons.examples[i, place] if song >= 0] == best


def test_popular_and_unfilled_places_share_nothing(engine: Engine) -> None:
    excluded = engine.find_playlists([f"list-{p}" for p in range(1, 120)])
    for lists in (engine.rank_known(["user-59", "nobody"], 4, NONE), engine.rank_known(["user-0"], 4, excluded)):
        reasons = explain(engine, lists)
        assert not reasons.shared.any()
        assert (reasons.examples == -1).all()


def test_no_lists_have_no_reasons(engine: Engine) -> None:
    assert explain(engine, engine.rank_known([], 4, NONE)).shared.shape == (0, 4)


@pytest.mark.parametrize(
    ("source", "shared", "score", "text"),
    [
        (Source.LIVE, 23, 1.0, "made by someone who shares 23 of your songs"),
        (Source.LIVE, 1, 1.0, "made by someone who shares one of your songs"),
        (Source.DAILY, 1234, 1.0, "made by someone who shares 1,234 of your songs"),
        (Source.COLD_NEIGHBOURS, 2, 1.0, "made by someone who shares 2 of your songs"),
        (Source.LIVE, 0, 1.0, "close to your taste"),
        (Source.POPULAR, 0, 1204.0, "popular with 1,204 listeners"),
        (Source.POPULAR, 0, 1.0, "popular with many listeners"),
    ],
)
def test_sentences(source: Source, shared: int, score: float, text: str) -> None:
    assert sentence(source, shared, score) == text
