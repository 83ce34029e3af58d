"""The two ways of unary calls to a replica: which one they take, and that what matters crosses either."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import grpc
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from spotify_buddies.serve_app.runtime.front import config, rules
from tests.front import CONFIG, EMPTY
from tests.serve_app.runtime.front.conftest import WAITS, Backend, Front, Start
from tests.waiting import wait_until

CHECKED = CONFIG.replace(
    "    server replica 127.0.0.1:{replica} proto h2\n",
    "    # What Ray says of its check.\n"
    "    option tcp-check\n    tcp-check connect\n"
    "    default-server fastinter 50ms downinter 50ms fall 1 rise 1 inter 50ms check\n"
    "    server replica 127.0.0.1:{replica} proto h2 check\n"
    "    server SERVE_PROXY_ACTOR-fallback 127.0.0.1:1 proto h2 check backup\n",
)


def rewritten(text: str, sockets: str = "/run/s") -> str:
    ports = {"metrics": 1, "stats": 2, "calls": 3, "http": 4, "replica": 5}
    front = rules.Front("127.0.0.1", "", "/nowhere", sockets=sockets)
    return config.rewrite(text.format(page="/p", admin="/a", **ports), front)


def section(text: str, name: str) -> list[str]:
    rest = text.split(f"{name}\n", 1)[1]
    return [line.strip() for line in rest.split("\nbackend ")[0].splitlines()]


@pytest.fixture
def stub(front: Front) -> Iterator[RecommenderServiceStub]:
    with grpc.insecure_channel(front.calls) as channel:
        yield RecommenderServiceStub(channel)


def test_unary_calls_go_to_the_sockets_and_others_as_ray_sends_them() -> None:
    text = rewritten(CHECKED.replace("server replica", "server SERVE_REPLICA_buddies-Recommender-a1b2"))
    beside = section(text, "backend grpc-buddies-http1")
    assert beside[:5] == [
        "http-reuse always",
        "default-server fastinter 50ms downinter 50ms fall 1 rise 1 inter 50ms check",
        "option httpchk GET /-/healthz",
        "http-check expect status 200",
        "server SERVE_REPLICA_buddies-Recommender-a1b2 unix@/run/s/a1b2.sock check maxconn 1024",
    ]
    assert "timeout queue 2s" in beside
    assert "backup" not in "".join(beside)
    frontend = section(text, "frontend grpc_frontend")
    ways = [line for line in frontend if line.startswith(("use_backend", "default_backend", "acl unary"))]
    assert ways == [
        "acl unary path /buddies.v1.RecommenderService/Recommend /buddies.v1.RecommenderService/Feedback",
        "use_backend grpc-buddies-http1 if unary { nbsrv(grpc-buddies-http1) gt 0 }",
        "use_backend grpc-buddies if is_buddies",
        "default_backend grpc-buddies",
    ]


@pytest.mark.parametrize(
    ("text", "sockets"),
    [(CONFIG, ""), (EMPTY, "/run/s"), (CONFIG.replace("replica 127.0.0.1:", "replica 10.0.0.7:"), "/run/s")],
    ids=["not wanted", "no replica", "a replica on another machine"],
)
def test_all_calls_take_grpc_where_there_are_no_sockets(text: str, sockets: str) -> None:
    assert "http1" not in rewritten(text, sockets)
    assert "acl unary" not in rewritten(text, sockets)


def test_a_call_takes_the_way_that_is_set(front: Front, stub: RecommenderServiceStub) -> None:
    answer = stub.Recommend(pb.RecommendRequest(user_ids=["a"]), timeout=60, metadata=[("x", "1"), ("x", "2")])
    assert [one.user_id for one in answer.recommendations] == ["a"]
    assert front.answers.over_http1 == ("grpc-buddies-http1" in front.config.read_text())
    assert front.answers.metadata["x"] in ("1", "2", "1, 2")
    assert stub.GetModelStatus(pb.GetModelStatusRequest(), timeout=60).model == "m"


def test_a_caller_who_leaves_ends_the_call_in_the_replica(front: Front, stub: RecommenderServiceStub) -> None:
    before = front.answers.cancelled
    call = stub.Recommend.future(pb.RecommendRequest(user_ids=["a"], limit=WAITS), timeout=60)
    wait_until(lambda: call.cancel() or call.cancelled(), "the caller's end")
    late = stub.Recommend.future(pb.RecommendRequest(user_ids=["a"], limit=WAITS), timeout=0.3)
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # The first may have ended before the replica had it.
    wait_until(lambda: front.answers.cancelled > before, "the end of the second in the replica")


def test_a_large_request_and_a_large_answer_arrive_in_whole(front: Front, stub: RecommenderServiceStub) -> None:
    ids = [f"{number:0100}" for number in range(30_000)]
    answer = stub.Recommend(pb.RecommendRequest(user_ids=ids), timeout=60)
    assert [one.user_id for one in answer.recommendations] == ids


def test_a_message_larger_than_is_read_is_the_callers_error(front: Front) -> None:
    with grpc.insecure_channel(front.calls) as channel:
        call = channel.unary_unary("/buddies.v1.RecommenderService/Recommend")
        with pytest.raises(grpc.RpcError) as refused:
            call(bytes(16 * 2**20 + 1), timeout=60)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "16,777,217 bytes, at most 16,777,216 are read" in str(refused.value.details())


def test_without_a_listener_unary_calls_take_grpc(start: Start, backend: Backend) -> None:
    with tempfile.TemporaryDirectory() as nobody:
        front = start(backend, CHECKED, sockets=nobody)

        def code() -> grpc.StatusCode:
            with grpc.insecure_channel(front.calls) as channel:
                call = RecommenderServiceStub(channel).Recommend.future(pb.RecommendRequest(), timeout=60)
                return call.code()

        # UNAVAILABLE until the first check of the socket has failed.
        wait_until(lambda: code() is grpc.StatusCode.OK, "an answer over gRPC")
        assert not front.answers.over_http1
