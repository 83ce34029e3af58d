"""Handlers of Recommend and Feedback on the replica's own servers, without Ray Serve's wrapper around every call.

The wrapper takes a sixth of the processor time of a replica that ranks one user per call. What the service needs of it
stays: a call takes one of the replica's places and counts as running (the autoscaler and draining read that), is
refused when too many wait, and is counted and timed in Serve's metrics. Request ids, tracing and the line in the log
are left out. One latency in SAMPLED is observed: Ray's agent, on the same machine, adds up observations one by one in
Python. The parts of Ray that this needs are private: where one of them is missing, nothing is registered and calls take
the usual way.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from grpc.aio._server import Server

from spotify_buddies.serve_app.api.direct_listener import listen_beside
from spotify_buddies.serve_app.telemetry.ray_metrics import SAMPLED

REPLICA_PARTS = ("_can_accept_request", "_track_queued_request", "_semaphore", "_metrics_manager", "_deployment_id")
METRICS_PARTS = (
    "inc_num_ongoing_requests", "dec_num_ongoing_requests", "record_request_metrics", "record_ingress_request_metrics",
)  # fmt: skip

_log = logging.getLogger(__name__)


class Ingress:
    """The deployment of this process that answers; None until it is ready."""

    def __init__(self) -> None:
        self.deployment: Any = None


INGRESS = Ingress()


def replica_of(server: Any) -> Any:
    """The replica that a server belongs to; None for other servers, and where Ray is not as it is known."""
    replica = getattr(getattr(server, "service_handler_factory", None), "__self__", None)
    manager = getattr(replica, "_metrics_manager", None)
    known = all(hasattr(replica, part) for part in REPLICA_PARTS) and all(hasattr(manager, p) for p in METRICS_PARTS)
    return replica if known else None


def serve_metadata(replica: Any, service: str, name: str) -> Any:
    """What Serve knows of a call, the same for every one: the caller and the request id are not filled in."""
    from ray.serve._private.common import RequestMetadata, RequestProtocol

    application = replica._deployment_id.app_name
    return RequestMetadata(
        request_id="",
        internal_request_id="",
        call_method=name,
        route=application,
        app_name=application,
        is_direct_ingress=True,
        _grpc_service_method=f"/{service}/{name}",
        _request_protocol=RequestProtocol.GRPC,
    )


def shorten(
    server: Any, service: str, handlers: Mapping[str, Any], describe: Callable[[Any, str, str], Any] = serve_metadata
) -> None:
    """Answer these unary methods of a replica's server, and of a listener for HTTP/1.1 beside it, without Serve.

    Does nothing on other servers.

    describe: what Serve's parts need to know of a call, by replica, service and method. Of a method that is registered
    twice gRPC takes the last; Serve's own kind of server would wrap it, so it goes by the kind below.
    """
    replica = replica_of(server)
    if replica is None:
        return
    sample_latencies(replica._metrics_manager)
    short = {
        name: handler._replace(unary_unary=_method(replica, name, describe(replica, service, name)))
        for name, handler in handlers.items()
    }
    Server.add_registered_method_handlers(server, service, short)
    listen_beside(server, replica, {f"/{service}/{name}": handler for name, handler in short.items()})


class Sampled:
    """A histogram of Ray's that passes on the first of every SAMPLED observations; on one thread."""

    def __init__(self, histogram: Any) -> None:
        self._histogram = histogram
        self._turns = itertools.count()

    def observe(self, value: float, tags: Mapping[str, str] | None = None) -> None:
        """As the histogram's."""
        if next(self._turns) % SAMPLED == 0:
            self._histogram.observe(value, tags=tags)


def sample_latencies(manager: Any) -> None:
    """Let the two histograms of a replica that get every call's latency get a sample; its counters stay exact."""
    for holder, name in [
        (manager, "_processing_latency_tracker"),
        *((metrics, "processing_latency_tracker") for metrics in getattr(manager, "_ingress_metrics", {}).values()),
    ]:
        histogram = getattr(holder, name, None)
        if histogram is not None and not isinstance(histogram, Sampled):
            setattr(holder, name, Sampled(histogram))


def _method(replica: Any, name: str, metadata: Any) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: Any) -> Any:
        if INGRESS.deployment is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the replica is starting")
        if not replica._can_accept_request(metadata):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls wait for this replica")
        started = time.time()
        # Stays where the call ends with neither an answer nor an Exception: its caller has left.
        code = grpc.StatusCode.CANCELLED
        try:
            answer = await _run(replica, metadata, getattr(INGRESS.deployment, name), request, context)
            code = context.code() or grpc.StatusCode.OK
        except Exception as error:  # noqa: BLE001 - gRPC would answer UNKNOWN, which reads as a front without replicas
            _log.exception("%s failed", name)
            code = grpc.StatusCode.INTERNAL
            await context.abort(code, f"{type(error).__name__} in {name}")
        finally:
            _record(replica, metadata, code, (time.time() - started) * 1000.0)
        return answer

    return call


async def _run(
    replica: Any, metadata: Any, method: Callable[[Any, Any], Awaitable[Any]], request: Any, context: Any
) -> Any:
    """Run a call in one of the replica's places, counted as running."""
    await _take_place(replica)
    try:
        replica._metrics_manager.inc_num_ongoing_requests(metadata)
        return await method(request, context)
    finally:
        replica._metrics_manager.dec_num_ongoing_requests(metadata)
        replica._semaphore.release()


async def _take_place(replica: Any) -> None:
    """As Replica._track_queued_request and _start_request, whose context managers cost as much as the look-up."""
    if not replica._semaphore.locked():
        await replica._semaphore.acquire()
        return
    with replica._track_queued_request():
        await replica._semaphore.acquire()


def _record(replica: Any, metadata: Any, code: grpc.StatusCode, latency_ms: float) -> None:
    failed = code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL)
    manager = replica._metrics_manager
    manager.record_request_metrics(route=metadata.route, latency_ms=latency_ms, is_error=failed)
    manager.record_ingress_request_metrics(
        protocol=metadata.protocol,
        method=metadata._grpc_service_method,
        route=metadata.route,
        app_name=metadata.app_name,
        deployment_name=replica._deployment_id.name,
        latency_ms=latency_ms,
        is_error=code is not grpc.StatusCode.OK,
        status_code=code.name,
    )
