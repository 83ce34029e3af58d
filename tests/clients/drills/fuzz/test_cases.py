"""Requests that no client would send: the same for a seed, of every kind."""

from itertools import islice

from google.protobuf.message import DecodeError

from spotify_buddies.clients.drills.fuzz.cases import cases
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

REQUESTS = {
    "Recommend": pb.RecommendRequest,
    "RecommendStream": pb.RecommendStreamRequest,
    "Feedback": pb.FeedbackRequest,
    "GetModelStatus": pb.GetModelStatusRequest,
}


def parses(method: str, data: bytes) -> bool:
    try:
        REQUESTS[method].FromString(data)
    except DecodeError:
        return False
    return True


def test_the_same_seed_makes_the_same_cases() -> None:
    assert list(islice(cases(3), 200)) == list(islice(cases(3), 200))
    assert list(islice(cases(3), 200)) != list(islice(cases(4), 200))


def test_cases_are_of_every_method_and_both_well_formed_and_damaged() -> None:
    found = list(islice(cases(1, ("known-user",)), 2_000))
    assert {case.method for case in found} == set(REQUESTS)
    whole = [parses(case.method, case.data) for case in found]
    assert 1_000 < sum(whole) < 1_950
    assert any(b"known-user" in case.data for case in found)
