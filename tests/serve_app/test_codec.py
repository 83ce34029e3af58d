from __future__ import annotations

import pickle

import pytest

from protos.buddies.v1 import recommender_pb2 as pb
from serve_app.codec import Malformed, decode_feedback, decode_query
from serve_app.errors import FeedbackUnavailable, InvalidRequest, NeighboursUnavailable, Violation
from serve_app.query import Mode, Query, SongName, Taste
from serve_app.wire import parser

SONG = pb.Song(song_id="SO1")


def fields(error: pytest.ExceptionInfo[InvalidRequest]) -> list[str]:
    return [violation.field for violation in error.value.violations]


def query(**changes: object) -> pb.RecommendRequest:
    return pb.RecommendRequest(**{"user_ids": ["a"], **changes})  # type: ignore[arg-type]


def feedback(**changes: object) -> pb.FeedbackRequest:
    base = {"recommendation_id": "r", "user_id": "u", "liked": ["a"], "idempotency_key": "k"}
    return pb.FeedbackRequest(**{**base, **changes})  # type: ignore[arg-type]


def test_unset_fields_take_their_documented_defaults() -> None:
    assert decode_query(query()) == Query(user_ids=("a",), limit=5, mode=Mode.LIVE, explain=True)


def test_every_field_is_decoded() -> None:
    name = pb.Song(name=pb.SongName(title="t", artist="b"))
    request = pb.RecommendRequest(
        user_ids=["a", "a"],
        tastes=[pb.Taste(user_id="x", songs=[SONG, name])],
        limit=100,
        mode=pb.MODE_DAILY,
        exclude_playlist_ids=["p"],
        explain=False,
    )
    assert decode_query(request) == Query(
        ("a", "a"), (Taste("x", ("SO1", SongName("t", "b"))),), 100, Mode.DAILY, ("p",), False
    )


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pb.RecommendRequest(), ["user_ids"]),
        (query(user_ids=["a"] * 1001), ["user_ids"]),
        (query(user_ids=["a"] * 1000, tastes=[pb.Taste(songs=[SONG])]), ["user_ids"]),
        (query(user_ids=["a", ""]), ["user_ids[1]"]),
        (query(user_ids=["a", "b", "c" * 129]), ["user_ids[2]"]),
        (query(user_ids=["é" * 65]), ["user_ids[0]"]),
        (query(limit=0), ["limit"]),
        (query(limit=-1), ["limit"]),
        (query(limit=101), ["limit"]),
        (query(mode=7), ["mode"]),
        (query(exclude_playlist_ids=["p"] * 1001), ["exclude_playlist_ids"]),
        (query(exclude_playlist_ids=[""]), ["exclude_playlist_ids[0]"]),
        (query(tastes=[pb.Taste(user_id="x" * 129, songs=[SONG])]), ["tastes[0].user_id"]),
        (query(tastes=[pb.Taste(songs=[SONG]), pb.Taste()]), ["tastes[1].songs"]),
        (query(tastes=[pb.Taste(songs=[SONG] * 1001)]), ["tastes[0].songs"]),
        (query(tastes=[pb.Taste(songs=[SONG] * 1000)] * 20 + [pb.Taste(songs=[SONG])]), ["tastes"]),
        (query(tastes=[pb.Taste(songs=[SONG, pb.Song()])]), ["tastes[0].songs[1]"]),
        (query(tastes=[pb.Taste(songs=[pb.Song(song_id="")])]), ["tastes[0].songs[0].song_id"]),
        (query(tastes=[pb.Taste(songs=[pb.Song(song_id="x" * 129)])]), ["tastes[0].songs[0].song_id"]),
        (
            query(tastes=[pb.Taste(songs=[pb.Song(name=pb.SongName(title="t" * 513))])]),
            ["tastes[0].songs[0].name.title", "tastes[0].songs[0].name.artist"],
        ),
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
        query(user_ids=["é" * 64, "x" * 128]),
        query(limit=1),
        query(limit=100),
        query(mode=pb.MODE_UNSPECIFIED),
        query(exclude_playlist_ids=["p"] * 1000),
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
        (feedback(user_id=""), ["user_id"]),
        (feedback(user_id="a\0b"), ["user_id"]),
        (feedback(idempotency_key=""), ["idempotency_key"]),
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


def test_feedback_is_decoded_with_its_reactions() -> None:
    decoded = decode_feedback(feedback(ignored=["b"], disliked=["c"], model_version="7", arm=pb.ARM_CANARY))
    assert list(decoded.reactions()) == [("a", 1), ("b", 0), ("c", -1)]
    assert (decoded.model_version, decoded.arm) == ("7", "canary")
    assert decode_feedback(feedback()).arm == "unspecified"


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
        FeedbackUnavailable("connection refused", 1.5),
        NeighboursUnavailable("timeout"),
    ],
)
def test_errors_survive_pickling(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, str(copy)) == (type(error), error.args, str(error))
