from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import Malformed, decode_query, decode_stream
from spotify_buddies.serve_app.api.feedback_codec import decode_feedback
from spotify_buddies.serve_app.api.grpc_registration import parser
from spotify_buddies.serve_app.errors import (
    FeedbackUnavailable,
    InvalidRequest,
    KeyReused,
    NeighboursUnavailable,
    Violation,
)
from spotify_buddies.serve_app.ranking.query import CounterfactualOptions, ExcludeSeen, Mode, Query, SongName, Taste

SONG = pb.Song(song_id="SO1")
ASKED = pb.CounterfactualOptions()


def counterfactual(**given: Any) -> pb.CounterfactualOptions:
    return pb.CounterfactualOptions(**given)


def fields(error: pytest.ExceptionInfo[InvalidRequest]) -> list[str]:
    return [violation.field for violation in error.value.violations]


def query(**changes: object) -> pb.RecommendRequest:
    return pb.RecommendRequest(**{"user_ids": ["a"], **changes})  # type: ignore[arg-type]


def seen(seconds: int, nanos: int = 0) -> pb.ExcludeSeen:
    return pb.ExcludeSeen(window=Duration(seconds=seconds, nanos=nanos))


def feedback(**changes: object) -> pb.FeedbackRequest:
    base = {"recommendation_id": "0f" * 16, "user_id": "u", "liked": ["a"], "idempotency_key": "k"}
    return pb.FeedbackRequest(**{**base, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "place", "field"),
    [
        (query(user_ids=["a", ""]), 1, "user_ids[1]"),
        (query(user_ids=["a", "b", "c" * 129]), 2, "user_ids[2]"),
        (query(user_ids=["é" * 65, "a"]), 0, "user_ids[0]"),
        (query(user_ids=["a", "nul\0", "b"]), 1, "user_ids[1]"),
        (query(user_ids=[*(f"user-{i}" for i in range(500)), "a\x1b[2Jb"]), 500, "user_ids[500]"),
        (query(user_ids=["a\u2028b", "a"]), 0, "user_ids[0]"),
        (query(tastes=[pb.Taste(user_id="nul\0", songs=[SONG])]), 1, "tastes[0].user_id"),
        (query(tastes=[pb.Taste(songs=[pb.Song(song_id="SO\0")])]), 1, "tastes[0].songs[0].song_id"),
        (query(tastes=[pb.Taste(user_id="x" * 129, songs=[SONG])]), 1, "tastes[0].user_id"),
        (query(tastes=[pb.Taste(songs=[SONG]), pb.Taste()]), 2, "tastes[1].songs"),
        (query(tastes=[pb.Taste(songs=[SONG] * 1001)]), 1, "tastes[0].songs"),
        (query(tastes=[pb.Taste(songs=[SONG, pb.Song()])]), 1, "tastes[0].songs[1]"),
        (query(tastes=[pb.Taste(songs=[pb.Song(song_id="x" * 129)])]), 1, "tastes[0].songs[0].song_id"),
        (
            query(tastes=[pb.Taste(songs=[pb.Song(name=pb.SongName(title="t" * 513))])]),
            1,
            "tastes[0].songs[0].name.title",
        ),
    ],
)
def test_one_bad_listener_is_refused_and_the_others_are_kept(
    request_: pb.RecommendRequest, place: int, field: str
) -> None:
    decoded = decode_query(request_)
    assert [(r.place, r.field) for r in decoded.refused] == [(place, field)]
    everybody = [*request_.user_ids, *(taste.user_id for taste in request_.tastes)]
    assert decoded.refused[0].user_id == everybody.pop(place)
    assert [*decoded.user_ids, *(taste.user_id for taste in decoded.tastes)] == everybody


def test_a_request_out_of_range_is_refused_whole_and_names_its_bad_listeners_too() -> None:
    with pytest.raises(InvalidRequest) as error:
        decode_query(query(user_ids=["a", ""], limit=0))
    assert fields(error) == ["user_ids[1]", "limit"]


def test_a_part_keeps_the_refused_at_their_places() -> None:
    request = pb.RecommendRequest(
        user_ids=["a", "", "b", "c"], tastes=[pb.Taste(), pb.Taste(user_id="x", songs=[SONG])], limit=3
    )
    whole = decode_query(request)
    assert (len(whole), whole.part(0, 6)) == (6, whole)
    parts = [whole.part(first, 2) for first in (0, 2, 4)]
    assert [part.user_ids for part in parts] == [("a",), ("b", "c"), ()]
    assert [[taste.user_id for taste in part.tastes] for part in parts] == [[], [], ["x"]]
    assert [[(r.place, r.field) for r in part.refused] for part in parts] == [
        [(1, "user_ids[1]")],
        [],
        [(0, "tastes[0].songs")],
    ]
    assert {part.limit for part in parts} == {3}


def test_what_was_seen_is_left_out_for_sixty_days_unless_said_otherwise() -> None:
    assert decode_query(query()).exclude_seen is None
    assert decode_query(query(exclude_seen=pb.ExcludeSeen())).exclude_seen == ExcludeSeen(60 * 86_400)
    asked = seen(1, 500_000_000)
    asked.shown = False
    assert decode_query(query(exclude_seen=asked)).exclude_seen == ExcludeSeen(1.5, shown=False)
    asked.liked = False
    assert decode_query(query(exclude_seen=asked)).exclude_seen is None


def test_a_stream_takes_fifty_thousand_listeners_in_parts_of_five_hundred() -> None:
    asked = decode_stream(pb.RecommendStreamRequest(request=query(user_ids=["a"] * 50_000)))
    assert (len(asked.query), asked.part_size) == (50_000, 500)
    assert decode_stream(pb.RecommendStreamRequest(request=query(), part_size=1)).part_size == 1


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pb.RecommendStreamRequest(), ["request.user_ids"]),
        (pb.RecommendStreamRequest(request=query(user_ids=["a"] * 50_001)), ["request.user_ids"]),
        (pb.RecommendStreamRequest(request=query(limit=0), part_size=0), ["request.limit", "part_size"]),
        (pb.RecommendStreamRequest(request=query(), part_size=1001), ["part_size"]),
        (pb.RecommendStreamRequest(request=query(counterfactual=ASKED)), ["request.counterfactual"]),
    ],
)
def test_a_stream_out_of_range_names_every_field(request_: pb.RecommendStreamRequest, expected: list[str]) -> None:
    with pytest.raises(InvalidRequest) as error:
        decode_stream(request_)
    assert fields(error) == expected


def test_unset_fields_take_their_documented_defaults() -> None:
    assert decode_query(query()) == Query(
        user_ids=("a",),
        limit=5,
        mode=Mode.LIVE,
        explain=True,
        max_per_owner=2,
        max_song_overlap=0.8,
        max_song_containment=0.5,
        adventurous=0.0,
        calibration=0.0,
    )


def test_a_counterfactual_takes_its_defaults_and_what_it_is_given() -> None:
    assert decode_query(query(counterfactual=ASKED)).counterfactual == CounterfactualOptions(frozenset(), 3, 10)
    given = counterfactual(playlist_ids=["p", "q"], max_playlists=2, max_songs=7)
    assert decode_query(query(counterfactual=given)).counterfactual == CounterfactualOptions(frozenset("pq"), 2, 7)


def test_every_field_is_decoded() -> None:
    name = pb.Song(name=pb.SongName(title="t", artist="b"))
    request = pb.RecommendRequest(
        user_ids=["a", "a"],
        tastes=[pb.Taste(user_id="x", songs=[SONG, name])],
        limit=100,
        mode=pb.MODE_DAILY,
        exclude_playlist_ids=["p"],
        explain=False,
        exclude_seen=pb.ExcludeSeen(window=Duration(seconds=9), liked=False),
        max_per_owner=7,
        max_song_overlap=0.5,
        max_song_containment=0.25,
        adventurous=0.75,
        calibration=0.125,
    )
    tastes = (Taste("x", ("SO1", SongName("t", "b"))),)
    assert decode_query(request) == Query(
        ("a", "a"), tastes, 100, Mode.DAILY, ("p",), False, ExcludeSeen(9.0, liked=False), 7, 0.5, 0.25, 0.75, 0.125
    )


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pb.RecommendRequest(), ["user_ids"]),
        (query(user_ids=["a"] * 1001), ["user_ids"]),
        (query(user_ids=["a"] * 1000, tastes=[pb.Taste(songs=[SONG])]), ["user_ids"]),
        (query(user_ids=["", "c" * 129, "é" * 65]), ["user_ids[0]", "user_ids[1]", "user_ids[2]"]),
        (query(limit=0), ["limit"]),
        (query(limit=-1), ["limit"]),
        (query(limit=101), ["limit"]),
        (query(mode=7), ["mode"]),
        (query(exclude_playlist_ids=["p"] * 1001), ["exclude_playlist_ids"]),
        (query(exclude_playlist_ids=[""]), ["exclude_playlist_ids[0]"]),
        (query(exclude_playlist_ids=["p", "p\0", "\x85"]), ["exclude_playlist_ids[1]", "exclude_playlist_ids[2]"]),
        (query(tastes=[pb.Taste(songs=[SONG] * 1000)] * 20 + [pb.Taste(songs=[SONG])]), ["tastes"]),
        (pb.RecommendRequest(tastes=[pb.Taste(songs=[pb.Song(song_id="")])]), ["tastes[0].songs[0].song_id"]),
        (query(user_ids=[""], tastes=[pb.Taste()]), ["user_ids[0]", "tastes[0].songs"]),
        (query(max_per_owner=0), ["max_per_owner"]),
        (query(max_per_owner=101), ["max_per_owner"]),
        (query(max_song_overlap=0), ["max_song_overlap"]),
        (query(max_song_overlap=1.01), ["max_song_overlap"]),
        (query(max_song_overlap=math.nan), ["max_song_overlap"]),
        (query(max_song_containment=0), ["max_song_containment"]),
        (query(max_song_containment=1.01), ["max_song_containment"]),
        (query(adventurous=-0.1), ["adventurous"]),
        (query(adventurous=math.nan), ["adventurous"]),
        (query(calibration=1.01), ["calibration"]),
        (query(calibration=math.inf), ["calibration"]),
        (query(exclude_seen=seen(0, 999_999_999)), ["exclude_seen.window"]),
        (query(exclude_seen=seen(-1)), ["exclude_seen.window"]),
        (query(exclude_seen=seen(365 * 86_400, 1)), ["exclude_seen.window"]),
        (query(user_ids=["a"] * 11, counterfactual=ASKED), ["counterfactual"]),
        (query(counterfactual=counterfactual(max_playlists=0)), ["counterfactual.max_playlists"]),
        (query(counterfactual=counterfactual(max_playlists=21)), ["counterfactual.max_playlists"]),
        (query(counterfactual=counterfactual(max_songs=0)), ["counterfactual.max_songs"]),
        (query(counterfactual=counterfactual(max_songs=51)), ["counterfactual.max_songs"]),
        (query(counterfactual=counterfactual(playlist_ids=["p", "\0"])), ["counterfactual.playlist_ids[1]"]),
        (query(counterfactual=counterfactual(playlist_ids=["p"] * 101)), ["counterfactual.playlist_ids"]),
        (query(user_ids=[""], limit=0, exclude_playlist_ids=[""]), ["user_ids[0]", "limit", "exclude_playlist_ids[0]"]),
    ],
)
def test_a_request_out_of_range_names_every_field(request_: pb.RecommendRequest, expected: list[str]) -> None:
    with pytest.raises(InvalidRequest) as error:
        decode_query(request_)
    assert fields(error) == expected


@pytest.mark.parametrize(
    "request_",
    [
        query(user_ids=["a"] * 1000),
        query(user_ids=["a"] * 10, counterfactual=counterfactual(playlist_ids=["p"] * 100)),
        query(counterfactual=counterfactual(max_playlists=1, max_songs=50)),
        query(counterfactual=counterfactual(max_playlists=20, max_songs=1)),
        query(user_ids=["é" * 64, "x" * 128]),
        query(limit=1),
        query(limit=100),
        query(mode=pb.MODE_UNSPECIFIED),
        query(exclude_playlist_ids=["p"] * 1000),
        query(exclude_playlist_ids=["p" * 128, "é" * 64]),
        query(max_per_owner=1, max_song_overlap=1e-6),
        query(max_per_owner=100, max_song_overlap=1.0),
        query(exclude_seen=seen(1)),
        query(exclude_seen=seen(365 * 86_400)),
        pb.RecommendRequest(tastes=[pb.Taste(songs=[SONG] * 1000)] * 20),
        query(tastes=[pb.Taste(songs=[pb.Song(name=pb.SongName(title="t" * 512, artist="é" * 256))])]),
    ],
)
def test_the_ends_of_the_ranges_belong_to_them(request_: pb.RecommendRequest) -> None:
    assert len(decode_query(request_).user_ids) == len(request_.user_ids)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (feedback(recommendation_id=""), ["recommendation_id"]),
        (feedback(recommendation_id="x" * 129), ["recommendation_id"]),
        (feedback(recommendation_id="r"), ["recommendation_id"]),
        (feedback(recommendation_id="0f" * 15 + "0"), ["recommendation_id"]),
        (feedback(recommendation_id="0F" * 16), ["recommendation_id"]),
        (feedback(recommendation_id="0f" * 16 + "\n"), ["recommendation_id"]),
        (feedback(user_id=""), ["user_id"]),
        (feedback(user_id="a\0b"), ["user_id"]),
        (feedback(user_id="a\x7fb", recommendation_id="\n"), ["recommendation_id", "user_id"]),
        (feedback(idempotency_key=""), ["idempotency_key"]),
        (feedback(idempotency_key="k\0", model_version="\0"), ["idempotency_key", "model_version"]),
        (feedback(liked=["a", "a\0"], ignored=["\u2029"]), ["liked[1]", "ignored[0]"]),
        (feedback(model_version="x" * 129), ["model_version"]),
        (feedback(arm=9), ["arm"]),
        (feedback(liked=[]), ["liked"]),
        (feedback(ignored=[str(i) for i in range(100)]), ["liked"]),
        (feedback(liked=["a", "b", "a"]), ["liked[2]"]),
        (feedback(ignored=["b", "a"]), ["ignored[1]"]),
        (feedback(disliked=["a"]), ["disliked[0]"]),
        (feedback(disliked=[""]), ["disliked[0]"]),
    ],
)
def test_feedback_out_of_range_names_every_field(request_: pb.FeedbackRequest, expected: list[str]) -> None:
    with pytest.raises(InvalidRequest) as error:
        decode_feedback(request_)
    assert fields(error) == expected


def test_odd_characters_in_names_are_looked_up_like_any_other() -> None:
    name = pb.SongName(title="a\0b\x1f", artist="\u2028")
    decoded = decode_query(query(tastes=[pb.Taste(songs=[pb.Song(name=name)])]))
    assert decoded.tastes == (Taste("", (SongName("a\0b\x1f", "\u2028"),)),)


def test_feedback_is_decoded_with_its_reactions() -> None:
    decoded = decode_feedback(feedback(ignored=["b"], disliked=["c"], model_version="7", arm=pb.ARM_CANARY))
    assert list(decoded.reactions()) == [("a", 1), ("b", 0), ("c", -1)]
    assert (decoded.model_version, decoded.arm) == ("7", "canary")
    assert decode_feedback(feedback()).arm == "unspecified"


def test_a_caller_has_at_most_64_bytes_and_no_control_characters() -> None:
    assert decode_feedback(feedback()).caller == ""
    assert decode_feedback(feedback(), "x" * 64).caller == "x" * 64
    for bad in ("x" * 65, "a\0b"):
        with pytest.raises(InvalidRequest) as error:
            decode_feedback(feedback(), bad)
        assert fields(error) == ["header buddies-caller"]


@pytest.mark.parametrize("data", [b"\x0a\x02\xff\xfe", b"\x0a\x05ab", b"\xff"])
def test_bytes_that_are_not_the_message_are_the_callers_error(data: bytes) -> None:
    parsed = parser(pb.RecommendRequest)(data)
    assert isinstance(parsed, Malformed)
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        decode_query(parsed)


def test_bytes_of_the_message_are_parsed() -> None:
    assert parser(pb.RecommendRequest)(query().SerializeToString()) == query()


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest((Violation("limit", "is 0"),)),
        KeyReused(("liked",)),
        FeedbackUnavailable("connection refused", 1.5),
        NeighboursUnavailable("timeout"),
    ],
)
def test_errors_survive_pickling(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, str(copy)) == (type(error), error.args, str(error))
