"""The edge with the real HAProxy: who is let through, how often, and what callers are told otherwise."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from spotify_buddies.clients.python import (
    AccessDenied,
    BuddiesError,
    Client,
    ModelStatus,
    Retry,
    ServerBusy,
    ServiceFailure,
    ServiceUnavailable,
    secure,
)
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from tests.clients.buddies_process import buddies
from tests.clients.grpc_server import serving
from tests.clients.python.answers import ANSWER
from tests.deploy.conftest import EDGE, Edge, Start, connect, script
from tests.front import NOTHING, STATUS, WATCH, Http2
from tests.waiting import wait_until

SEEN = pb.GetModelStatusResponse(model="m")
ONCE = Retry(attempts=1)


def status(request: object, context: grpc.ServicerContext) -> pb.GetModelStatusResponse:
    return SEEN


def ask(
    edge: Edge, certificates: Path, token: str | None = None, certificate: Path | None = None, retry: Retry = ONCE
) -> ModelStatus:
    """One call of the Python client through the edge."""
    key = certificate.with_suffix(".key") if certificate else None
    credentials = secure(token=token, ca=certificates / "ca.pem", certificate=certificate, key=key)
    with Client(edge.address, credentials=credentials, timeout_s=10.0, retry=retry) as client:
        return client.model_status()


def many(call: Callable[[], object], count: int = 1000) -> None:
    for _ in range(count):
        call()


def test_a_caller_with_a_token_is_let_through_and_others_are_told_unauthenticated(
    start: Start, certificates: Path
) -> None:
    seen: list[dict[str, str]] = []

    def answer(request: object, context: grpc.ServicerContext) -> pb.GetModelStatusResponse:
        seen.append(dict(context.invocation_metadata()))
        return SEEN

    with serving(GetModelStatus=answer) as backend:
        edge = start(backend)
        token = edge.add("partner")
        edge.reload()
        assert ask(edge, certificates, token).model == "m"
        for wrong in (None, token[:-1], f"{token}x", hashlib.sha256(token.encode()).hexdigest()):
            with pytest.raises(AccessDenied, match="a valid bearer token or client certificate is needed"):
                ask(edge, certificates, wrong)
    (metadata,) = seen
    assert "authorization" not in metadata
    assert [(line["caller"], line["grpc"], line["refused"]) for line in edge.lines()] == [
        ("partner", "-", "-"),
        *[("-", "16", "identity")] * 4,
    ]
    for place in ("edge.log", "tokens.map"):
        assert token not in (edge.home / place).read_text()


def test_the_command_calls_through_the_edge(start: Start, certificates: Path, tmp_path: Path) -> None:
    with serving(Recommend=lambda request, context: ANSWER) as backend:
        edge = start(backend)
        (tmp_path / "token").write_text(edge.add("partner"))
        edge.reload()
        options = ("--address", edge.address, "--ca", str(certificates / "ca.pem"))
        good = buddies("recommend", "ada", *options, cwd=tmp_path, BUDDIES_CLIENT__TOKEN_FILE="token")
        bad = buddies("recommend", "ada", *options, cwd=tmp_path, BUDDIES_CLIENT__TOKEN="buddies_wrong")
    assert good.returncode == 0, good.stderr
    assert "Rainy" in good.stdout
    assert bad.returncode == 1
    assert "UNAUTHENTICATED" in bad.stderr
    assert "buddies_wrong" not in bad.stderr + edge.log


def test_a_server_of_another_authority_is_not_talked_to(start: Start, certificates: Path) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend)
        token = edge.add("partner")
        edge.reload()
        with pytest.raises(ServiceUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            ask(edge, certificates / "other", token)
    assert all("caller" not in line for line in edge.lines())


def test_a_client_certificate_names_its_caller_and_one_of_another_authority_does_not(
    start: Start, certificates: Path
) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend, CLIENT_CA=str(certificates / "ca.pem"))
        token = edge.add("by-token")
        edge.reload()
        assert ask(edge, certificates, certificate=certificates / "partner.pem").model == "m"
        assert ask(edge, certificates, token).model == "m"
        with pytest.raises(AccessDenied):
            ask(edge, certificates)
        with pytest.raises(ServiceUnavailable):
            ask(edge, certificates, token, certificate=certificates / "other" / "partner.pem")
    assert [line["caller"] for line in edge.lines() if line.get("refused") == "-"] == ["partner", "by-token"]


def test_where_certificates_are_required_a_token_alone_does_not_even_connect(start: Start, certificates: Path) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend, CLIENT_CA=str(certificates / "ca.pem"), CLIENT_VERIFY="required")
        token = edge.add("by-token")
        edge.reload()
        assert ask(edge, certificates, certificate=certificates / "partner.pem").model == "m"
        with pytest.raises(ServiceUnavailable):
            ask(edge, certificates, token)


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
                many(lambda: client.model_status(timeout_s=10))
            for _ in range(10):
                assert ask(edge, certificates, calm).model == "m"
        assert (refused.value.retry_after_s, refused.value.reason) == (1.0, "RATE_LIMITED")
        assert isinstance(refused.value.__cause__, grpc.RpcError)
        assert ("grpc-retry-pushback-ms", "1000") in refused.value.__cause__.trailing_metadata()
        # The client waits as long as it was told, and is let through.
        assert ask(edge, certificates, eager, retry=Retry(attempts=10)).model == "m"


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
                method(b"", timeout=10)
        with (
            Client(edge.address, credentials=credentials, retry=ONCE) as client,
            pytest.raises(ServiceFailure) as unknown,
        ):
            client.recommend(["ada"], timeout_s=10)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert refused.value.details() == "the edge passes no such method"
    assert unknown.value.code == "UNIMPLEMENTED"
    assert [line["refused"] for line in edge.lines()] == ["path", "-"]


@pytest.mark.parametrize("open_health", [True, False])
def test_a_health_check_needs_a_token_unless_it_is_set_otherwise(
    open_health: bool, start: Start, certificates: Path
) -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        edge = start(f"127.0.0.1:{port}", **({"HEALTH_OPEN": "1"} if open_health else {}))
        with grpc.secure_channel(edge.address, secure(ca=certificates / "ca.pem")) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            check = health_pb2.HealthCheckRequest()
            if not open_health:
                with pytest.raises(grpc.RpcError) as refused:
                    stub.Check(check, timeout=10)
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
                return
            assert stub.Check(check, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.RpcError) as watched:
                next(iter(stub.Watch(check, timeout=10)))
            assert watched.value.code() is grpc.StatusCode.UNAUTHENTICATED
            with pytest.raises(grpc.RpcError) as flooded:
                many(lambda: stub.Check(check, timeout=10))
            assert flooded.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    finally:
        server.stop(0).wait()


@dataclass
class Caller:
    """Calls in a loop on a thread of its own; any failure ends it and is kept."""

    call: Callable[[], object]
    answered: int = 0
    failure: BaseException | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.call()
            except (BuddiesError, grpc.RpcError) as error:
                self.failure = error
                return
            self.answered += 1

    def answers(self, count: int) -> None:
        """Wait for so many more answers, or a failure."""
        then = self.answered
        wait_until(lambda: self.failure or self.answered >= then + count, "calls")


@contextmanager
def calling(*callers: Caller) -> Iterator[None]:
    with ThreadPoolExecutor(len(callers)) as pool:
        for caller in callers:
            pool.submit(caller.run)
        try:
            yield
        finally:
            for caller in callers:
                caller.stopping.set()


def test_tokens_and_certificates_change_while_calls_run_and_none_fails(start: Start, certificates: Path) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend, CALLS_PER_S="100000")
        new = old = edge.add("partner")
        edge.reload()
        credentials = secure(token=old, ca=certificates / "ca.pem")
        with (
            Client(edge.address, credentials=credentials, timeout_s=20.0) as ours,
            # HAProxy says GOAWAY to a connection of the old worker; gRPC sends what that crossed once more by itself.
            grpc.secure_channel(edge.address, credentials) as plain,
        ):
            stub = RecommenderServiceStub(plain)
            callers = [
                *[Caller(ours.model_status) for _ in range(2)],
                *[Caller(lambda: stub.GetModelStatus(pb.GetModelStatusRequest(), timeout=20)) for _ in range(2)],
            ]
            with calling(*callers):
                for _ in range(3):
                    new = edge.add("partner")
                    script("certificates.py", str(certificates))  # the same authority, another certificate
                    edge.reload()
                    for caller in callers:
                        caller.answers(20)
            assert [caller.failure for caller in callers] == [None] * 4
        assert ask(edge, certificates, new).model == "m"
        script("tokens.py", "--file", str(edge.home / "tokens.map"), "retire", "partner")
        edge.reload()
        with pytest.raises(AccessDenied):
            ask(edge, certificates, old)
        assert ask(edge, certificates, new).model == "m"


def test_garbage_plaintext_and_old_tls_are_refused_and_the_edge_stands(start: Start, certificates: Path) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend)
        token = edge.add("partner")
        edge.reload()
        for garbage in (os.urandom(4096), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + os.urandom(300), b""):
            with connect(edge.port) as plain, suppress(ConnectionError):
                plain.sendall(garbage)
                plain.shutdown(socket.SHUT_WR)
                assert not plain.recv(4096).startswith(b"HTTP/")
        context = ssl.create_default_context(cafile=certificates / "ca.pem")
        context.set_alpn_protocols(["h2"])
        for garbage in (os.urandom(20_000), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(20_000)):
            with connect(edge.port) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(garbage)
                with suppress(ConnectionError):  # it may be closed either way
                    while tls.recv(65_536):
                        pass
        with grpc.insecure_channel(edge.address) as channel:
            with pytest.raises(grpc.RpcError) as refused:
                RecommenderServiceStub(channel).GetModelStatus(pb.GetModelStatusRequest(), timeout=10)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert ask(edge, certificates, token).model == "m"


def test_old_tls_is_refused(start: Start, certificates: Path) -> None:
    with serving() as backend:
        edge = start(backend)
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with connect(edge.port) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(edge.port) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
        assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.2", "h2")


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
        refused = 0
        for _ in range(60):
            try:
                with connect(edge.port, source="127.0.0.2") as plain:
                    plain.settimeout(0.01)
                    refused += plain.recv(1) == b""
            except ConnectionResetError:
                refused += 1
            except TimeoutError:  # let in, and nothing is said before the handshake
                continue
        assert refused > 0
        assert ask(edge, certificates, token).model == "m"


def test_a_request_too_large_to_be_one_is_refused(start: Start, certificates: Path) -> None:
    with serving(Recommend=lambda request, context: ANSWER) as backend:
        edge = start(backend)
        token = edge.add("partner")
        edge.reload()
        credentials = secure(token=token, ca=certificates / "ca.pem")
        with grpc.secure_channel(edge.address, credentials) as channel:
            stub = RecommenderServiceStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                stub.Recommend(pb.RecommendRequest(), timeout=10, metadata=[("x", "y" * 20_000)])
        assert refused.value.code() is not grpc.StatusCode.OK
        assert ask_recommend(edge, credentials)


def ask_recommend(edge: Edge, credentials: grpc.ChannelCredentials) -> bool:
    with Client(edge.address, credentials=credentials, timeout_s=10.0, retry=ONCE) as client:
        return bool(client.recommend(["ada"]))


def test_calls_in_flight_of_two_callers_do_not_share_a_connection_to_the_service(
    start: Start, certificates: Path
) -> None:
    # On a shared one, a caller that does not read its answer would hold up the other.
    peers: list[str] = []
    both = threading.Barrier(2)

    def answer(request: object, context: grpc.ServicerContext) -> pb.GetModelStatusResponse:
        peers.append(context.peer())
        both.wait(timeout=20)
        return SEEN

    with serving(GetModelStatus=answer) as backend:
        edge = start(backend)
        tokens = [edge.add(caller) for caller in ("one", "other")]
        edge.reload()
        with ThreadPoolExecutor(2) as pool:
            answered = list(pool.map(lambda token: ask(edge, certificates, token), tokens))
    assert [one.model for one in answered] == ["m", "m"]
    assert len(set(peers)) == 2


def test_the_edge_listens_on_loopback_unless_told(start: Start) -> None:
    text = (EDGE / "haproxy.cfg").read_text()
    assert "presetenv EDGE_BIND 127.0.0.1:" in text
    binds = [line.split()[1] for line in text.splitlines() if line.strip().startswith("bind ")]
    assert set(binds) == {'"${EDGE_BIND}"', '"${EDGE_METRICS_BIND}"'}


@contextmanager
def raw(edge: Edge, certificates: Path) -> Iterator[Http2]:
    """A raw HTTP/2 connection to the edge."""
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    context.set_alpn_protocols(["h2"])
    with connect(edge.port) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
        yield Http2(tls)


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


def test_the_service_is_told_who_calls_and_no_caller_can_say_so_himself(start: Start, certificates: Path) -> None:
    told: list[dict[str, str]] = []

    def answer(request: object, context: grpc.ServicerContext) -> pb.GetModelStatusResponse:
        told.append(dict(context.invocation_metadata()))
        return SEEN

    with serving(GetModelStatus=answer) as backend:
        edge = start(backend)
        token = edge.add("partner")
        edge.reload()
        with raw(edge, certificates) as connection:
            claims = [bearer(token), ("buddies-caller", "somebody else"), ("buddies-caller", "a third")]
            assert connection.answer(connection.open(STATUS, claims, body=NOTHING)).status == 0
    (metadata,) = told
    assert metadata["buddies-caller"] == "partner"


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
