"""Registering the API on a gRPC server, so that bytes that are not the message are the caller's error and not ours.

The generated registration parses requests inside gRPC, which answers INTERNAL (or, in Ray Serve's proxy, UNKNOWN) when
the bytes do not parse, a string that is not UTF-8 among them. Here they become a Malformed, and the handler answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from operator import methodcaller
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from protos.buddies.v1 import recommender_pb2 as pb
from serve_app.codec import Malformed

SERVICE = pb.DESCRIPTOR.services_by_name["RecommenderService"].full_name
METHODS: dict[str, type[Message]] = {
    "Recommend": pb.RecommendRequest,
    "Feedback": pb.FeedbackRequest,
    "GetModelStatus": pb.GetModelStatusRequest,
}
STREAMS: dict[str, type[Message]] = {"RecommendStream": pb.RecommendStreamRequest}


def add_service(servicer: Any, server: Any) -> None:
    """Register the methods of `servicer` under the API's name; the same shape as the generated function.

    They answer with messages or with whatever else has SerializeToString.
    """
    makers = (METHODS, grpc.unary_unary_rpc_method_handler), (STREAMS, grpc.unary_stream_rpc_method_handler)
    handlers = {
        name: make(
            getattr(servicer, name),
            request_deserializer=parser(request),
            response_serializer=methodcaller("SerializeToString"),
        )
        for methods, make in makers
        for name, request in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """SERVING from the start: a server exists only where a replica is ready, or in front of ready replicas."""

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """SERVING for the server ("") and for the API; NOT_FOUND for another service."""
        if request.service not in ("", SERVICE):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """The status now, then nothing until the caller leaves: the status of a server changes with its end."""
        del context
        known = request.service in ("", SERVICE)
        states = health_pb2.HealthCheckResponse
        yield states(status=states.SERVING if known else states.SERVICE_UNKNOWN)
        await asyncio.Event().wait()


def add_health(servicer: Any, server: Any) -> None:
    """Register grpc.health.v1.Health, answered by the server that is given.

    Ray Serve would route it to the ingress class like any other method; a `Watch` there would hold a request slot and
    block draining. `add_passthrough_service` is Ray Serve's private way around that, so it is asked for, not assumed.
    """
    del servicer
    passthrough = getattr(server, "add_passthrough_service", None)
    if passthrough is not None:
        passthrough(health.SERVICE_NAME)
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)


def parser(message: type[Message]) -> Callable[[bytes], Message | Malformed]:
    """A deserialiser that never raises."""

    def parse(data: bytes) -> Message | Malformed:
        try:
            return message.FromString(data)
        except DecodeError:
            return Malformed(f"the bytes are not a {message.DESCRIPTOR.full_name}, or a string in them is not UTF-8")

    return parse
