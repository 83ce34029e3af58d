"""The bytes written from columns are those that protobuf's own classes write."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking.encoding import Encoder, draw_ids, encode_refused
from spotify_buddies.serve_app.ranking.encoding.kernels import tags
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import RankedLists, ReasonKind, RefusedUser, Skipped, Source
from spotify_buddies.serve_app.ranking.reasons import Reasons
from spotify_buddies.trainer.bundle import write_bundle
from tests.serve_app.bundles import PLAYLISTS, SONGS, make_bundle, parts
from tests.serve_app.reference import message

LIMIT = 6


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Names of every length: none, one that needs two bytes for its length, letters of several bytes."""
    directory = tmp_path_factory.mktemp("odd")
    make_bundle(directory)
    names = ["", "a", "é" * 64, "x" * 127, "y" * 128, "日本 " * 80, "z" * 17_000]
    made = replace(
        parts(directory / "index"),
        playlist_titles=[names[p % 7] for p in range(PLAYLISTS)],
        song_titles=[names[s % 7] for s in range(SONGS)],
        song_artists=[names[s % 5] for s in range(SONGS)],
    )
    return Engine(write_bundle(directory / "odd", made), "version é")


@st.composite
def answers(draw: st.DrawFn) -> tuple[RankedLists, bytes, Reasons]:
    count = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = rng.integers(0, LIMIT + 1, count).astype(np.int32)
    filled = np.arange(LIMIT) < counts[:, None]
    scores = draw(
        st.lists(
            st.one_of(st.floats(width=32, allow_nan=False), st.sampled_from([0.0, -0.0, 1.0, 2.0, 999.0, 1000.0, 1e6])),
            min_size=count * LIMIT,
            max_size=count * LIMIT,
        )
    )
    sources = tuple(draw(st.sampled_from(list(Source))) for _ in range(count))
    array = np.array(scores, np.float32).reshape(count, LIMIT)
    likes = np.array([source in (Source.POPULAR, Source.POPULAR_IN_GENRE) for source in sources])
    # The likes of a popular playlist are a count.
    array = np.where(likes[:, None], np.abs(np.nan_to_num(array) % 1e7).astype(np.int64), array).astype(np.float32)
    lists = RankedLists(
        user_ids=tuple(draw(st.text(st.characters(codec="utf-8"), max_size=40)) for _ in range(count)),
        rows=np.where(filled, rng.integers(0, PLAYLISTS, (count, LIMIT)), -1).astype(np.int32),
        scores=array,
        counts=counts,
        sources=sources,
        skipped=tuple(tuple(draw(st.lists(st.sampled_from(list(Skipped)), unique=True))) for _ in range(count)),
        unknown_songs=tuple(draw(st.sampled_from([0, 1, 127, 128, 1000])) for _ in range(count)),
        songs=parts(Path()).user_songs,
        song_rows=np.zeros(count, np.int32),
    )
    kinds = rng.choice(list(ReasonKind), (count, LIMIT)).astype(np.int8)
    # The likes of a popular playlist are its score, which is a count only there.
    kinds[likes] = rng.choice([ReasonKind.POPULAR, ReasonKind.POPULAR_IN_GENRE], LIMIT)
    kinds[~likes] = np.where(kinds[~likes] >= ReasonKind.POPULAR, ReasonKind.TASTE, kinds[~likes])
    shared = rng.choice([1, 2, 23, 127, 128, 999, 1000, 1_234_567], (count, LIMIT)).astype(np.int32)
    shared[np.isin(kinds, [ReasonKind.TASTE, ReasonKind.POPULAR, ReasonKind.POPULAR_IN_GENRE])] = 0
    examples = rng.integers(-1, SONGS, (count, LIMIT, 3)).astype(np.int32)
    return lists, draw_ids(count), Reasons(shared, kinds, examples)


@settings(max_examples=200, deadline=None)
@given(answer=answers(), explained=st.booleans())
def test_the_bytes_are_those_of_the_message(
    odd: Engine, answer: tuple[RankedLists, bytes, Reasons], explained: bool
) -> None:
    lists, drawn, reasons = answer
    given_ = reasons if explained else None
    expected = message(odd.bundle, odd.version, lists, drawn, given_)
    encoded = Encoder(odd).encode(lists, drawn, given_)
    assert pb.RecommendResponse.FromString(encoded) == expected
    assert encoded == expected.SerializeToString(deterministic=True)


@settings(max_examples=30, deadline=None)
@given(answer=answers(), first=st.integers(0, 4), size=st.integers(1, 4))
def test_a_range_of_lists_is_a_range_of_the_bytes(
    odd: Engine, answer: tuple[RankedLists, bytes, Reasons], first: int, size: int
) -> None:
    lists, drawn, reasons = answer
    first = min(first, len(lists) - 1)
    last = min(first + size, len(lists))
    encoded = Encoder(odd).encode(lists, drawn, reasons, first, last)
    expected = message(odd.bundle, odd.version, lists, drawn, reasons, range(first, last))
    assert pb.RecommendResponse.FromString(encoded) == expected


def test_lists_of_a_real_ranking_are_encoded_with_their_ids(engine: Engine) -> None:
    lists = engine.rank_known(["user-1", "nobody", "user-59", "user-1"], 100, np.empty(0, np.int32))
    drawn = draw_ids(4)
    encoded = Encoder(engine).encode(lists, drawn, None)
    assert encoded == message(engine.bundle, "7", lists, drawn, None).SerializeToString(deterministic=True)


def test_a_thread_that_encodes_at_any_moment_of_another_ones_encoding_writes_the_right_bytes(engine: Engine) -> None:
    known = engine.rank_known(["user-1"], 3, np.empty(0, np.int32))
    lists = replace(known, skipped=((Skipped.NEIGHBOUR_SEARCH, Skipped.SEEN),))
    drawn = draw_ids(1)
    expected = message(engine.bundle, "7", lists, drawn, None).SerializeToString(deterministic=True)

    def interleaved(line: int) -> list[bytes]:
        """What one thread writes, and another one that encodes before the first has run its line of this number."""
        encoder, written, left = Encoder(engine), [], iter(range(line, -1, -1))

        def encode() -> None:
            written.append(encoder.encode(lists, drawn, None))

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            if event == "line" and next(left, None) == 0:
                thread = threading.Thread(target=encode)
                thread.start()
                thread.join()
            return trace if frame.f_code.co_filename.endswith("encoder.py") else None

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            encode()
        finally:
            sys.settrace(before)
        return written

    line = 0
    while len(written := interleaved(line)) == 2:
        assert written == [expected, expected]
        line += 1
    assert line > 10


def test_every_order_of_skipped_steps_is_encoded(engine: Engine) -> None:
    steps = [order for size in range(len(Skipped) + 1) for order in permutations(Skipped, size)]
    known = engine.rank_known(["user-1"] * len(steps), 1, np.empty(0, np.int32))
    lists, drawn = replace(known, skipped=tuple(steps)), draw_ids(len(steps))
    expected = message(engine.bundle, "7", lists, drawn, None).SerializeToString(deterministic=True)
    assert Encoder(engine).encode(lists, drawn, None) == expected


def test_every_id_is_drawn_anew() -> None:
    assert len(draw_ids(0)) == 0
    assert len({draw_ids(1) for _ in range(100)}) == 100


def test_a_refused_listener_carries_the_error_and_no_playlists() -> None:
    encoded = encode_refused(RefusedUser(3, "ü", "user_ids[3]", "is 200 bytes"))
    error = pb.ListenerError(code=3, field="user_ids[3]", message="is 200 bytes")
    assert pb.RecommendResponse.FromString(encoded) == pb.RecommendResponse(
        recommendations=[pb.Recommendation(user_id="ü", error=error)]
    )


def test_the_tags_are_those_of_the_proto() -> None:
    def tag(message: type, field: str, wire_type: int) -> int:
        return int(message.DESCRIPTOR.fields_by_name[field].number) * 8 + wire_type  # type: ignore[attr-defined]

    assert tag(pb.RecommendResponse, "recommendations", 2) == tags.RECOMMENDATION
    assert tag(pb.RecommendStreamResponse, "recommendations", 2) == tags.RECOMMENDATION
    for name in ("user_id", "recommendation_id"):
        assert tag(pb.Recommendation, name, 2) == getattr(tags, name.upper())
    assert tag(pb.Recommendation, "playlists", 2) == tags.PLAYLIST
    assert tag(pb.Recommendation, "source", 0) == tags.SOURCE
    assert tag(pb.Recommendation, "unknown_songs", 0) == tags.UNKNOWN_SONGS
    assert [tag(pb.Reason, name, 0) for name in ("kind", "artist_songs", "common_followers")] == [
        tags.KIND, tags.ARTIST_SONGS, tags.COMMON_FOLLOWERS,
    ]  # fmt: skip
    assert tag(pb.Reason, "artists", 2) == tags.ARTIST


def test_every_field_of_an_answer_is_known_to_the_encoder() -> None:
    # A field that is added to the proto must be added to the encoder too.
    assert [field.name for field in pb.Recommendation.DESCRIPTOR.fields] == [
        "user_id", "recommendation_id", "playlists", "model_version", "arm", "source", "skipped", "unknown_songs",
        "error",
    ]  # fmt: skip
    # Counterfactuals and who picked are added to the few answers that have them: versions/counterfactual/answer.py,
    # versions/interleaving/both.py.
    assert [f.name for f in pb.RecommendedPlaylist.DESCRIPTOR.fields] == [
        "playlist_id", "title", "owner_id", "score", "reason", "found_by", "counterfactual",
        "picked_by",
    ]  # fmt: skip
    assert [field.name for field in pb.Reason.DESCRIPTOR.fields] == [
        "shared_songs", "examples", "text", "kind", "artist_songs", "artists", "common_followers",
    ]  # fmt: skip
    assert [field.name for field in pb.SongName.DESCRIPTOR.fields] == ["title", "artist"]


def test_a_bundle_of_an_earlier_release_is_encoded_as_one_that_holds_its_messages(odd):
    missing = dict.fromkeys(("playlist_messages", "playlist_novelty", "playlist_genre", "playlist_song_bits"))
    earlier = Engine(replace(odd.bundle, **missing), odd.version)
    lists = odd.rank_known([odd.bundle.user_ids.table[0]], LIMIT, np.empty(0, np.int32))
    assert lists.counts[0] > 0
    drawn = draw_ids(1)
    assert Encoder(odd).encode(lists, drawn, None) == Encoder(earlier).encode(lists, drawn, None)
    assert odd.catalogue.novelty.tolist() == earlier.catalogue.novelty.tolist()
    assert odd.catalogue.song_bits.tolist() == earlier.catalogue.song_bits.tolist()
    assert odd.catalogue.genre.tolist() == earlier.catalogue.genre.tolist()
