"""Traffic against a real gRPC server that keeps, or loses, what it acknowledges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from spotify_buddies.clients.drills.framework.account import count_lost, errors_by_method
from spotify_buddies.clients.drills.framework.traffic import Traffic, Users
from spotify_buddies.clients.drills.processes.under_traffic import MIX
from spotify_buddies.clients.python import Song, Taste
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import refuse, serving
from tests.waiting import wait_until

USERS = Users(["known"], [Taste([Song(song_id="SO1")])])


class Store:
    """Keeps feedback by key, or pretends to."""

    def __init__(self, *, keeps: bool) -> None:
        self.keeps = keeps
        self.rows: dict[str, int] = {}

    def feedback(self, request: pb.FeedbackRequest, context: grpc.ServicerContext) -> pb.FeedbackResponse:
        count = len(request.liked) + len(request.ignored)
        known = request.idempotency_key in self.rows
        if self.keeps:
            self.rows[request.idempotency_key] = count
        outcome = pb.FEEDBACK_OUTCOME_DUPLICATE if known else pb.FEEDBACK_OUTCOME_ACCEPTED
        return pb.FeedbackResponse(outcome=outcome, reactions=count)


def recommend(request: Any, context: grpc.ServicerContext) -> pb.RecommendResponse:
    found = pb.Recommendation(
        user_id=request.user_ids[0] if request.user_ids else "",
        recommendation_id="r",
        playlists=[pb.RecommendedPlaylist(playlist_id="p"), pb.RecommendedPlaylist(playlist_id="q")],
        source=pb.SOURCE_LIVE,
        skipped=[pb.SKIPPED_DAILY_LIST] if request.mode == pb.MODE_DAILY else [],
    )
    return pb.RecommendResponse(recommendations=[found])


def call(address: str, until: Callable[[Traffic], bool]) -> Traffic:
    traffic = Traffic(address, USERS, 100.0, mix=MIX)
    with traffic.running():
        wait_until(lambda: until(traffic), "calls")
    return traffic


@pytest.fixture(params=[True, False], ids=["keeps", "loses"])
def store(request: pytest.FixtureRequest) -> Store:
    return Store(keeps=request.param)


def test_what_a_server_acknowledged_and_did_not_keep_is_counted_as_lost(store: Store) -> None:
    with serving(Recommend=recommend, Feedback=store.feedback) as address:
        traffic = call(address, lambda traffic: len(traffic.acknowledged) >= 20)
        lost = count_lost(address, traffic.acknowledged)
    assert lost == (0 if store.keeps else len(traffic.acknowledged))
    assert errors_by_method(traffic.calls) == {}


def test_steps_left_out_are_degraded_and_not_failed() -> None:
    with serving(Recommend=recommend, Feedback=Store(keeps=True).feedback) as address:
        traffic = call(address, lambda traffic: sum(call.degraded for call in traffic.calls) >= 2)
    assert not any(call.error for call in traffic.calls)
    assert {call.method for call in traffic.calls if call.degraded} == {"known"}


def test_a_failed_call_is_counted_by_method_and_status_and_ends_the_quiet() -> None:
    def broken(request: Any, context: grpc.ServicerContext) -> pb.RecommendResponse:
        refuse(context, grpc.StatusCode.INTERNAL, "broken")
        raise AssertionError

    with serving(Recommend=broken) as address:
        traffic = call(address, lambda traffic: {call.method for call in traffic.calls} == {"known", "taste"})
    assert set(errors_by_method(traffic.calls)) == {"known INTERNAL", "taste INTERNAL"}
    assert traffic.quiet_since_s() == 0.0
