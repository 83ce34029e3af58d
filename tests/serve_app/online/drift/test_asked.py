"""Genres asked for, of requests with and without a field for them."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from spotify_buddies.protos.buddies.v1.recommender_pb2 import RecommendRequest
from spotify_buddies.serve_app.online.drift.asked import count_asked


def request_with_genres() -> type[Message]:
    """A message whose field 1 is `repeated string genres`."""
    file = descriptor_pb2.FileDescriptorProto(name="drift_test.proto", package="drift_test", syntax="proto3")
    field = file.message_type.add(name="Request").field.add(name="genres", number=1)
    field.type, field.label = field.TYPE_STRING, field.LABEL_REPEATED
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("drift_test.Request"))


def test_a_request_without_such_a_field_is_not_measured() -> None:
    counted = count_asked(RecommendRequest, 3, [(0, RecommendRequest(limit=5).SerializeToString(), 1)])
    assert counted.unmeasured == "a request has no field for a genre"


def test_genres_are_counted_by_day_and_list() -> None:
    kind = request_with_genres()
    both, neither = kind(genres=["rock", "jazz"]).SerializeToString(), kind().SerializeToString()
    counted = count_asked(kind, 2, [(0, both, 3), (1, neither, 2), (1, b"\xff", 1)])
    assert counted.bins == ("jazz", "none", "rock", "unreadable")
    assert counted.days.tolist() == [[3, 0, 3, 0], [0, 2, 0, 1]]


def test_without_requests_it_is_not_measured() -> None:
    assert count_asked(request_with_genres(), 2, []).unmeasured == "no list says what was asked"
