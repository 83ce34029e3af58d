from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.kernels import kinds
from spotify_buddies.serve_app.ranking.query import ReasonKind
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
            assert reasons.kinds[i, place] == (ReasonKind.OWNER if both else ReasonKind.TASTE)
            assert [song for song in reasons.examples[i, place] if song >= 0] == best
        assert not reasons.kinds[i, lists.counts[i] :].any()


def test_popular_and_unfilled_places_share_nothing(engine: Engine) -> None:
    excluded = engine.find_playlists([f"list-{p}" for p in range(1, 120)])
    popular, short = engine.rank_known(["user-59", "nobody"], 4, NONE), engine.rank_known(["user-0"], 4, excluded)
    assert popular.counts.tolist() == [4, 4]
    for lists in (popular, short):
        reasons = explain(engine, lists)
        assert not reasons.shared.any()
        filled = lists.rows >= 0
        assert (reasons.kinds == np.where(filled, ReasonKind.POPULAR, 0)).all()
        assert (reasons.examples == -1).all()


def test_no_lists_have_no_reasons(engine: Engine) -> None:
    assert explain(engine, engine.rank_known([], 4, NONE)).shared.shape == (0, 4)


@pytest.mark.parametrize(
    ("kind", "number", "text"),
    [
        (ReasonKind.OWNER, 23, "made by someone who shares 23 of your songs"),
        (ReasonKind.OWNER, 1, "made by someone who shares one of your songs"),
        (ReasonKind.OWNER, 1234, "made by someone who shares 1,234 of your songs"),
        (ReasonKind.SONGS, 1, "with one of your songs"),
        (ReasonKind.SONGS, 1200, "with 1,200 of your songs"),
        (ReasonKind.ARTISTS, 1, "with a song by an artist you listen to"),
        (ReasonKind.ARTISTS, 12, "with 12 songs by artists you listen to"),
        (ReasonKind.FOLLOWERS, 1, "followed by someone who follows what you follow"),
        (ReasonKind.FOLLOWERS, 7, "followed by 7 people who follow what you follow"),
        (ReasonKind.TASTE, 0, "close to your taste"),
        (ReasonKind.POPULAR, 1204, "popular with 1,204 listeners"),
        (ReasonKind.POPULAR, 1, "popular with many listeners"),
        (ReasonKind.POPULAR_IN_GENRE, 30, "popular with 30 listeners, in your kind of music"),
    ],
)
def test_sentences(kind: ReasonKind, number: int, text: str) -> None:
    assert sentence(kind, number) == text


def test_kinds_have_the_numbers_of_the_proto_and_of_the_kernels() -> None:
    assert {f"REASON_KIND_{kind.name}": kind.value for kind in ReasonKind} == {
        name: number for name, number in pb.ReasonKind.items() if number
    }
    numbers = [kinds.TASTE, kinds.OWNER, kinds.SONGS, kinds.ARTISTS, kinds.FOLLOWERS]
    assert [*numbers, kinds.POPULAR_WITH, kinds.POPULAR_IN_GENRE_WITH] == list(ReasonKind)
