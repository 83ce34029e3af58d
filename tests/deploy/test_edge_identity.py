"""Identities at the edge: tokens and certificates that let a caller through, and the caller's name for the service."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from spotify_buddies.clients.python import AccessDenied, BuddiesError, Client, ServiceUnavailable, secure
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from tests.clients.buddies_process import called
from tests.clients.grpc_server import serving
from tests.clients.python.answers import ANSWER
from tests.deploy.conftest import Edge, Start, script
from tests.deploy.edge_calls import SEEN, ask, bearer, many, raw, status
from tests.front import NOTHING, STATUS
from tests.waiting import WITHIN_S, wait_until


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
        good = called("recommend", "ada", *options, cwd=tmp_path, BUDDIES_CLIENT__TOKEN_FILE="token")
        bad = called("recommend", "ada", *options, cwd=tmp_path, BUDDIES_CLIENT__TOKEN="buddies_wrong")
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
                    stub.Check(check, timeout=WITHIN_S)
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
                return
            assert stub.Check(check, timeout=WITHIN_S).status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.RpcError) as watched:
                next(iter(stub.Watch(check, timeout=WITHIN_S)))
            assert watched.value.code() is grpc.StatusCode.UNAUTHENTICATED
            with pytest.raises(grpc.RpcError) as flooded:
                many(lambda: stub.Check(check, timeout=WITHIN_S))
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
            Client(edge.address, credentials=credentials, timeout_s=WITHIN_S) as ours,
            # HAProxy says GOAWAY to a connection of the old worker; gRPC sends what that crossed once more by itself.
            grpc.secure_channel(edge.address, credentials) as plain,
        ):
            stub = RecommenderServiceStub(plain)
            callers = [
                *[Caller(ours.model_status) for _ in range(2)],
                *[Caller(lambda: stub.GetModelStatus(pb.GetModelStatusRequest(), timeout=WITHIN_S)) for _ in range(2)],
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


def test_only_operators_may_use_the_rights_of_a_listener(start: Start, certificates: Path, tmp_path: Path) -> None:
    def erase(request: pb.EraseUserRequest, context: grpc.ServicerContext) -> pb.EraseUserResponse:
        return pb.EraseUserResponse(listener=request.user_id)

    def export(request: pb.ExportUserRequest, context: grpc.ServicerContext) -> Iterator[pb.ExportUserResponse]:
        yield pb.ExportUserResponse(part=request.user_id.encode())

    def tried(edge: Edge, token: str) -> list[str]:
        ca = (certificates / "ca.pem").read_bytes()
        credentials = grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials(ca), grpc.access_token_call_credentials(token)
        )
        outcomes = []
        with grpc.secure_channel(f"localhost:{edge.port}", credentials) as channel:
            stub = RecommenderServiceStub(channel)
            erasing = partial(stub.EraseUser, pb.EraseUserRequest(user_id="ada"), timeout=WITHIN_S)
            exporting = partial(stub.ExportUser, pb.ExportUserRequest(user_id="ada"), timeout=WITHIN_S)
            for call in (erasing, lambda: next(exporting())):
                try:
                    outcomes.append(type(call()).__name__)
                except grpc.RpcError as error:
                    outcomes.append(error.code().name)  # type: ignore[attr-defined]
        return outcomes

    (tmp_path / "operators").write_text("keeper\n")
    with serving(EraseUser=erase, ExportUser=export) as backend:
        edge = start(backend, OPERATORS=str(tmp_path / "operators"))
        tokens = {caller: edge.add(caller) for caller in ("keeper", "partner")}
        edge.reload()
        assert tried(edge, tokens["keeper"]) == ["EraseUserResponse", "ExportUserResponse"]
        assert tried(edge, tokens["partner"]) == ["PERMISSION_DENIED"] * 2
        assert [line["refused"] for line in edge.lines() if line["caller"] == "partner"] == ["operator"] * 2
        closed = start(backend)
        token = closed.add("keeper")
        closed.reload()
        assert tried(closed, token) == ["PERMISSION_DENIED"] * 2, "without a list nobody is an operator"
