"""What is remembered of a request: all that makes a list, and nobody's id."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api import limits
from spotify_buddies.serve_app.api.asked import asked_of, asked_of_taste, request_of
from spotify_buddies.serve_app.api.codec import decode_query, decode_stream

# Every field but the users.
RULES = pb.RecommendRequest(
    limit=7, mode=pb.MODE_DAILY, exclude_playlist_ids=["x", "y"], explain=False,
    exclude_seen=pb.ExcludeSeen(window=Duration(seconds=60), liked=False), max_per_owner=3, max_song_overlap=0.5,
    max_song_containment=0.25, adventurous=0.75, calibration=0.125,
)  # fmt: skip
TASTE = pb.Taste(user_id="guest", songs=[pb.Song(song_id="S1"), pb.Song(name=pb.SongName(title="t", artist="a"))])


def with_users(**users: object) -> pb.RecommendRequest:
    made = pb.RecommendRequest(**users)  # type: ignore[arg-type]
    made.MergeFrom(RULES)
    return made


def test_every_field_of_the_request_is_set_here() -> None:
    fields = {field.name for field in pb.RecommendRequest.DESCRIPTOR.fields}
    assert {field.name for field, _ in RULES.ListFields()} | {"user_ids", "tastes", "counterfactual"} == fields


@pytest.mark.parametrize("tastes", [[], [pb.Taste(songs=[pb.Song(song_id="S1")])]])
def test_what_changes_no_list_is_not_remembered(tastes: list[pb.Taste]) -> None:
    request = with_users(user_ids=["ada"], tastes=tastes)
    before = asked_of(request)
    request.counterfactual.max_songs = 7
    assert asked_of(request) == before
    assert request.counterfactual.max_songs == 7


def test_a_request_comes_back_for_one_listener_without_the_ids_of_the_others() -> None:
    request = with_users(user_ids=["secret-1", "secret-2"], tastes=[TASTE])
    asked = asked_of(request)
    assert asked is not None
    assert b"secret" not in asked
    assert b"guest" not in asked
    assert request_of(asked, "secret-2") == with_users(user_ids=["secret-2"])
    assert asked == asked_of(with_users(user_ids=["other"]))
    assert request.user_ids == ["secret-1", "secret-2"]


def test_a_taste_comes_back_with_its_songs() -> None:
    asked, own = asked_of(with_users(tastes=[TASTE])), asked_of_taste(TASTE)
    assert asked is not None
    assert own is not None
    assert b"guest" not in own
    assert request_of(asked + own, "guest") == with_users(tastes=[TASTE])
    assert TASTE.user_id == "guest"


@pytest.mark.parametrize("length", [1, 126, 127, 128, 200, 16_300])
def test_the_length_of_a_taste_is_written_as_protobuf_reads_it(length: int) -> None:
    taste = pb.Taste(songs=[pb.Song(song_id="x" * length)])
    own = asked_of_taste(taste)
    assert own == pb.RecommendRequest(tastes=[taste]).SerializeToString()


def test_nothing_but_users_is_no_bytes() -> None:
    assert asked_of(pb.RecommendRequest(user_ids=["ada"])) == b""


def test_what_is_longer_than_the_limits_is_not_remembered() -> None:
    # Tag and length take three bytes.
    most = pb.RecommendRequest(exclude_playlist_ids=["x" * (limits.ASKED_BYTES - 3)])
    assert asked_of(most) == most.SerializeToString()
    most.exclude_playlist_ids[0] += "x"
    assert asked_of(most) is None
    songs = [pb.Song(song_id="x" * 98) for _ in range(limits.ASKED_TASTE_BYTES // 102)]
    assert asked_of_taste(pb.Taste(songs=songs)) is not None
    assert asked_of_taste(pb.Taste(songs=[*songs, songs[0]])) is None


def test_decoding_hands_it_on_to_every_part_of_the_query() -> None:
    request = with_users(user_ids=["ada", "bob", ""], tastes=[TASTE])
    query = decode_query(request)
    assert query.asked == asked_of(request)
    assert query.tastes[0].asked == asked_of_taste(TASTE)
    stream = decode_stream(pb.RecommendStreamRequest(request=request, part_size=2)).query
    assert [stream.part(first, 2).asked for first in (0, 2)] == [query.asked] * 2
