"""Requests that the edge refuses: other methods and protocols, too much metadata, no message, no service behind it."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from spotify_buddies.clients.python import Client, ServiceFailure, ServiceUnavailable, secure
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from tests.clients.grpc_server import serving
from tests.clients.python.answers import ANSWER
from tests.deploy.conftest import Edge, Start
from tests.deploy.edge_calls import ONCE, ask, bearer, raw, status
from tests.front import NOTHING, STATUS
from tests.waiting import WITHIN_S


def test_without_the_service_callers_are_told_unavailable(start: Start, certificates: Path) -> None:
    with serving() as backend:
        pass
    edge = start(backend)
    token = edge.add("partner")
    edge.reload()
    with pytest.raises(ServiceUnavailable, match="the service is not available") as caught:
        ask(edge, certificates, token)
    assert caught.value.code == "UNAVAILABLE"


def test_only_the_apis_methods_pass(start: Start, certificates: Path) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend)
        token = edge.add("partner")
        edge.reload()
        credentials = secure(token=token, ca=certificates / "ca.pem")
        with grpc.secure_channel(edge.address, credentials) as channel:
            # Ray Serve looks at a method's name alone, so this one would be answered.
            method = channel.unary_unary("/other.Service/GetModelStatus")
            with pytest.raises(grpc.RpcError) as refused:
                method(b"", timeout=WITHIN_S)
        with (
            Client(edge.address, credentials=credentials, retry=ONCE) as client,
            pytest.raises(ServiceFailure) as unknown,
        ):
            client.recommend(["ada"], timeout_s=WITHIN_S)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert refused.value.details() == "the edge passes no such method"
    assert unknown.value.code == "UNIMPLEMENTED"
    assert [line["refused"] for line in edge.lines()] == ["path", "-"]


def test_a_request_too_large_to_be_one_is_refused(start: Start, certificates: Path) -> None:
    with serving(Recommend=lambda request, context: ANSWER) as backend:
        edge = start(backend)
        token = edge.add("partner")
        edge.reload()
        credentials = secure(token=token, ca=certificates / "ca.pem")
        with grpc.secure_channel(edge.address, credentials) as channel:
            stub = RecommenderServiceStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                stub.Recommend(pb.RecommendRequest(), timeout=WITHIN_S, metadata=[("x", "y" * 20_000)])
        assert refused.value.code() is not grpc.StatusCode.OK
        assert ask_recommend(edge, credentials)


def ask_recommend(edge: Edge, credentials: grpc.ChannelCredentials) -> bool:
    with Client(edge.address, credentials=credentials, timeout_s=WITHIN_S, retry=ONCE) as client:
        return bool(client.recommend(["ada"]))


def test_calls_without_a_message_are_refused_and_hold_nothing(start: Start, certificates: Path) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend, CALLS_PER_S="100000")
        token = edge.add("partner")
        edge.reload()
        with raw(edge, certificates) as connection:
            for _ in range(480):
                refused = connection.answer(connection.open(STATUS, [bearer(token)]))
                assert (refused.status, refused.headers["grpc-message"]) == (3, "the call holds no message")
            cut = connection.answer(connection.open(STATUS, [bearer(token)], body=b"\0\0\0\1\0less"))
            assert (cut.status, cut.headers["grpc-message"]) == (
                3,
                "the message is shorter than its length prefix says",
            )
            assert connection.answer(connection.open(STATUS, [bearer(token)], body=NOTHING)).status == 0


@pytest.mark.parametrize("size", [8_192, 12_000, 20_000, 65_000])
def test_too_much_metadata_is_an_error_of_that_call_alone(size: int, start: Start, certificates: Path) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend)
        token = bearer(edge.add("partner"))
        edge.reload()
        with raw(edge, certificates) as connection:
            fitting = [token, *((f"x-{number}", "v" * 300) for number in range(20))]
            assert connection.answer(connection.open(STATUS, fitting, body=NOTHING)).status == 0
            refused = connection.answer(connection.open(STATUS, [token, ("x", "v" * size)], body=NOTHING))
            assert (refused.status, refused.headers["content-type"]) == (8, "application/grpc")
            assert connection.answer(connection.open(STATUS, [token], body=NOTHING)).status == 0


def test_grpc_web_is_refused(start: Start, certificates: Path) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend)
        token = bearer(edge.add("partner"))
        edge.reload()
        with raw(edge, certificates) as connection:
            web = connection.open(STATUS, [token], body=NOTHING, content_type="application/grpc-web+proto")
            assert connection.answer(web).headers[":status"] == "415"
