"""The short way of Recommend: that Ray has the parts it needs, and that it keeps what Serve keeps for a call."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api import direct_handlers
from spotify_buddies.serve_app.api.grpc_registration import SERVICE, add_service, handlers_of
from spotify_buddies.serve_app.http1.place import DIRECTORY, socket_of
from spotify_buddies.serve_app.ranking.encoding import Encoded
from tests.serve_app.http1.talking import Client, request
from tests.waiting import WITHIN_S

METADATA = SimpleNamespace(
    is_direct_ingress=True, protocol="gRPC", route="app", app_name="app", _grpc_service_method=f"/{SERVICE}/Recommend"
)


class Replica:
    """The parts of Serve's replica that are used, counting: one call runs at a time, one may wait."""

    def __init__(self) -> None:
        self._metrics_manager = self
        self._deployment_id = SimpleNamespace(app_name="app", name="Recommender")
        self._replica_id = SimpleNamespace(unique_id="a1b2")
        self._semaphore = asyncio.Semaphore(1)
        self.waiting = self.running = self.most = 0
        self.recorded: list[tuple[str, bool]] = []

    def _can_accept_request(self, metadata: Any) -> bool:
        assert metadata.is_direct_ingress
        return self.waiting < 1

    @contextmanager
    def _track_queued_request(self) -> Iterator[Any]:
        self.waiting += 1
        left = iter([1])

        def release() -> None:
            self.waiting -= next(left, 0)

        try:
            yield release
        finally:
            release()

    def inc_num_ongoing_requests(self, metadata: Any) -> None:
        self.running += 1
        self.most = max(self.most, self.running)

    def dec_num_ongoing_requests(self, metadata: Any) -> None:
        self.running -= 1

    def record_request_metrics(self, *, route: str, latency_ms: float, is_error: bool) -> None:
        assert (route, latency_ms >= 0) == ("app", True)
        self.failed = is_error

    def record_ingress_request_metrics(self, *, method: str, status_code: str, is_error: bool, **tags: Any) -> None:
        assert method == "/buddies.v1.RecommenderService/Recommend"
        assert is_error == (status_code != "OK")
        self.recorded.append((status_code, self.failed))

    def serve(self, service_method: str, streaming_type: Any) -> Any:
        """Where a server finds its replica."""


class Deployment:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go = asyncio.Event()

    async def Recommend(self, request: pb.RecommendRequest, context: Any) -> Encoded:  # noqa: N802
        if request.limit == 1:
            raise RuntimeError("broken")
        if request.limit == 2:
            context.set_code(grpc.StatusCode.INVALID_ARGUMENT)
            return Encoded(b"")
        self.entered.set()
        await self.go.wait()
        return Encoded(b"")

    async def nothing(self, request: Any, context: Any) -> Encoded:
        return Encoded(b"")

    RecommendStream = Feedback = GetModelStatus = ExportUser = EraseUser = nothing


@asynccontextmanager
async def served(replica: Replica, ready: bool = True) -> AsyncIterator[tuple[Any, Deployment]]:
    """A real server with Recommend as it stands on a replica; yields the call and the deployment behind it."""
    deployment = Deployment()
    direct_handlers.INGRESS.deployment = deployment if ready else None
    server = grpc.aio.server()
    add_service(deployment, server)
    # Only now a replica's server: Serve itself is not imported here, so that other tests may choose its switches.
    server.service_handler_factory = replica.serve  # type: ignore[attr-defined]
    short = {"Recommend": handlers_of(deployment)["Recommend"]}
    direct_handlers.shorten(server, SERVICE, short, lambda replica, service, name: METADATA)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    directory = os.environ.get(DIRECTORY)
    try:
        if directory:
            yield OverHttp1(socket_of(directory, "a1b2")), deployment
        else:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield channel.unary_unary(f"/{SERVICE}/Recommend"), deployment
    finally:
        direct_handlers.INGRESS.deployment = None
        await server.stop(0)


class OverHttp1:
    """Recommend as a call of grpc.aio, on a connection of its own to the replica's socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, message: bytes, timeout: float) -> asyncio.Task[bytes | None]:
        return asyncio.ensure_future(self._call(message))

    async def _call(self, message: bytes) -> bytes | None:
        reader, writer = await asyncio.open_unix_connection(str(self._path))
        try:
            answer = await Client(reader, writer).ask(request(message, path=f"/{SERVICE}/Recommend"))
        finally:
            writer.close()
        code = next(code for code in grpc.StatusCode if code.value[0] == answer.status)
        if code is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())
        return answer.message


@pytest.fixture(autouse=True, params=["grpc", "http1"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The way that calls take to the replica."""
    with tempfile.TemporaryDirectory() as directory:
        if request.param == "http1":
            monkeypatch.setenv(DIRECTORY, directory)
        yield request.param


def code_of(limit: int, ready: bool = True) -> tuple[str, Replica]:
    async def call() -> tuple[str, Replica]:
        replica = Replica()
        async with served(replica, ready) as (recommend, deployment):
            deployment.go.set()
            try:
                await recommend(pb.RecommendRequest(limit=limit).SerializeToString(), timeout=WITHIN_S)
            except grpc.aio.AioRpcError as error:
                return error.code().name, replica
            return "OK", replica

    return asyncio.run(call())


@pytest.mark.parametrize(
    ("limit", "code", "recorded"),
    [
        (5, "OK", ("OK", False)),
        (1, "INTERNAL", ("INTERNAL", True)),
        (2, "INVALID_ARGUMENT", ("INVALID_ARGUMENT", False)),
    ],
)
def test_a_call_is_counted_with_its_status(limit: int, code: str, recorded: tuple[str, bool]) -> None:
    found, replica = code_of(limit)
    assert (found, replica.recorded) == (code, [recorded])
    assert (replica.running, replica.waiting, replica.most) == (0, 0, 1)


def test_a_replica_that_is_starting_is_unavailable() -> None:
    found, replica = code_of(5, ready=False)
    assert (found, replica.recorded) == ("UNAVAILABLE", [])


def test_calls_run_in_the_replicas_places_wait_there_and_are_refused_beyond() -> None:
    async def call() -> None:
        replica = Replica()
        async with served(replica) as (recommend, deployment):
            first = recommend(b"", timeout=WITHIN_S)
            await deployment.entered.wait()
            assert (replica.running, replica.waiting) == (1, 0)
            second = recommend(b"", timeout=WITHIN_S)
            while replica.waiting == 0:
                await asyncio.sleep(0)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await recommend(b"", timeout=WITHIN_S)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            deployment.go.set()
            await asyncio.gather(first, second)
            assert (replica.running, replica.waiting, replica.most) == (0, 0, 1)
            assert replica.recorded == [("OK", False), ("OK", False)]

    asyncio.run(call())


def test_a_caller_who_leaves_frees_the_place_and_is_counted_as_cancelled() -> None:
    async def call() -> None:
        replica = Replica()
        async with served(replica) as (recommend, deployment):
            left = recommend(b"", timeout=WITHIN_S)
            await deployment.entered.wait()
            left.cancel()
            while not replica.recorded:
                await asyncio.sleep(0)
            assert (replica.running, replica.recorded) == (0, [("CANCELLED", True)])

    asyncio.run(call())


def test_one_latency_in_eight_is_observed_of_each_histogram() -> None:
    observed: list[tuple[float, Any]] = []
    histogram = SimpleNamespace(observe=lambda value, tags: observed.append((value, tags)))
    ingress = SimpleNamespace(processing_latency_tracker=histogram)
    manager = SimpleNamespace(_processing_latency_tracker=histogram, _ingress_metrics={"gRPC": ingress})
    direct_handlers.sample_latencies(manager)
    direct_handlers.sample_latencies(manager)
    for value in range(17):
        manager._processing_latency_tracker.observe(value, tags={"route": "app"})
    assert observed == [(value, {"route": "app"}) for value in (0, 8, 16)]
    ingress.processing_latency_tracker.observe(1.0)
    assert observed[3:] == [(1.0, None)]
    direct_handlers.sample_latencies(Replica())


def test_this_ray_release_has_the_parts() -> None:
    code = """
import inspect
from types import SimpleNamespace
from ray.serve._private import grpc_util, replica, request_ingress_metrics
from spotify_buddies.serve_app.api import direct_handlers
for part in ("_can_accept_request", "_track_queued_request"):
    assert hasattr(replica.Replica, part), part
for part in direct_handlers.METRICS_PARTS:
    assert hasattr(replica.ReplicaMetricsManager, part), part
assert "self._replica_id = replica_id" in inspect.getsource(replica.Replica.__init__)
assert "start" in dir(grpc_util.gRPCGenericServer) and "await server.start()" in inspect.getsource(grpc_util)
assert "_direct_ingress_grpc_server.stop(" in inspect.getsource(replica.Replica)
assert "service_handler_factory" in inspect.signature(grpc_util.gRPCGenericServer.__init__).parameters
assert "_processing_latency_tracker.observe(" in inspect.getsource(replica.ReplicaMetricsManager)
assert "self.processing_latency_tracker" in inspect.getsource(request_ingress_metrics.RequestIngressMetrics)
made = direct_handlers.serve_metadata(SimpleNamespace(_deployment_id=SimpleNamespace(app_name="a")), "s", "m")
assert (made.protocol, made.is_grpc_request, made.is_direct_ingress, made.route) == ("gRPC", True, True, "a"), made
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_another_server_is_left_as_it_is() -> None:
    class Proxy:
        def serve(self) -> None:
            """Not a replica."""

    assert direct_handlers.replica_of(object()) is None
    assert direct_handlers.replica_of(SimpleNamespace(service_handler_factory=Proxy().serve)) is None
    known = Replica()
    assert direct_handlers.replica_of(SimpleNamespace(service_handler_factory=known.serve)) is known
