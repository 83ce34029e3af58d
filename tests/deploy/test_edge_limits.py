"""The edge's limits: calls a second, calls in flight and connections, for each caller alone."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from spotify_buddies.clients.python import Client, Retry, ServerBusy, secure
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import serving
from tests.deploy.conftest import Start, connect
from tests.deploy.edge_calls import ONCE, SEEN, ask, bearer, many, raw, status
from tests.front import NOTHING, STATUS, WATCH
from tests.waiting import WITHIN_S, wait_until


def test_a_caller_who_asks_too_often_is_told_when_to_come_back_and_others_are_not(
    start: Start, certificates: Path
) -> None:
    with serving(GetModelStatus=status) as backend:
        limits = certificates / "limits.map"
        limits.write_text("eager 3\n")
        edge = start(backend, CALLS_PER_S="1000", LIMITS=str(limits))
        eager, calm = edge.add("eager"), edge.add("calm")
        edge.reload()
        with Client(edge.address, credentials=secure(token=eager, ca=certificates / "ca.pem"), retry=ONCE) as client:
            with pytest.raises(ServerBusy, match="too many calls a second") as refused:
                many(lambda: client.model_status(timeout_s=WITHIN_S))
            for _ in range(10):
                assert ask(edge, certificates, calm).model == "m"
        assert (refused.value.retry_after_s, refused.value.reason) == (1.0, "RATE_LIMITED")
        assert isinstance(refused.value.__cause__, grpc.RpcError)
        assert ("grpc-retry-pushback-ms", "1000") in refused.value.__cause__.trailing_metadata()
        # The client waits as long as it was told, and is let through.
        assert ask(edge, certificates, eager, retry=Retry(attempts=10)).model == "m"


def test_ten_thousand_connections_that_say_nothing_do_not_keep_others_out(
    start: Start, certificates: Path, many_files: None
) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend, CONNECTIONS_PER_ADDRESS="4000", CONNECTIONS_PER_S="100000")
        token = edge.add("partner")
        edge.reload()
        with ExitStack() as silent:
            refused = 0
            for _ in range(10_000):
                try:
                    silent.enter_context(connect(edge.port, source="127.0.0.2"))
                except ConnectionResetError:
                    refused += 1
            assert ask(edge, certificates, token).model == "m"
            assert refused > 0


def test_new_connections_of_one_address_are_bounded_and_anothers_pass(start: Start, certificates: Path) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend, CONNECTIONS_PER_S="20")
        token = edge.add("partner")
        edge.reload()
        refused, plains = 0, []
        with ExitStack() as opened:
            # All before anything is read, so that they come within a second on any machine.
            for _ in range(60):
                try:
                    plains.append(opened.enter_context(connect(edge.port, source="127.0.0.2")))
                except ConnectionResetError:
                    refused += 1
            # Nothing is said before the handshake to those that were let in.
            wait_until(lambda: refused or any(is_closed(plain) for plain in plains), "one of them is refused")
        assert ask(edge, certificates, token).model == "m"


def is_closed(plain: socket.socket) -> bool:
    """Whether the other end has closed it; it says nothing otherwise."""
    try:
        return plain.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False


def test_calls_in_flight_of_two_callers_do_not_share_a_connection_to_the_service(
    start: Start, certificates: Path
) -> None:
    # On a shared one, a caller that does not read its answer would hold up the other.
    peers: list[str] = []
    both = threading.Barrier(2)

    def answer(request: object, context: grpc.ServicerContext) -> pb.GetModelStatusResponse:
        peers.append(context.peer())
        both.wait(timeout=WITHIN_S)
        return SEEN

    with serving(GetModelStatus=answer) as backend:
        edge = start(backend)
        tokens = [edge.add(caller) for caller in ("one", "other")]
        edge.reload()
        with ThreadPoolExecutor(2) as pool:
            answered = list(pool.map(lambda token: ask(edge, certificates, token), tokens))
    assert [one.model for one in answered] == ["m", "m"]
    assert len(set(peers)) == 2


def test_one_callers_calls_in_flight_are_bounded_and_anothers_pass(start: Start, certificates: Path) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend, CALLS_AT_ONCE="3", STREAMS_AT_ONCE="2", CALLS_PER_S="100000")
        greedy, calm = bearer(edge.add("greedy")), bearer(edge.add("calm"))
        edge.reload()
        with ExitStack() as stack:
            one, two, three = (stack.enter_context(raw(edge, certificates)) for _ in range(3))
            watches = [one.open(WATCH, [greedy], end=False) for _ in range(2)]
            third = one.answer(one.open(WATCH, [greedy], end=False))
            assert (third.status, third.headers["grpc-message"]) == (8, "too many open streams")
            two.open(STATUS, [greedy], end=False)
            for connection in (two, three):
                refused = connection.answer(connection.open(STATUS, [greedy], body=NOTHING))
                assert (refused.status, refused.headers["grpc-message"]) == (8, "too many calls in flight")
                assert refused.headers["grpc-retry-pushback-ms"] == "100"
            assert three.answer(three.open(STATUS, [calm], body=NOTHING)).status == 0
            one.reset(watches[0])
            wait_until(lambda: three.answer(three.open(STATUS, [greedy], body=NOTHING)).status == 0, "a place")
    assert {line["refused"] for line in edge.lines() if line.get("caller") == "greedy"} >= {"calls", "streams"}
