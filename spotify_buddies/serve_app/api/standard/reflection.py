"""gRPC's reflection under both of its names: newer tools ask for v1 first, and the two differ in nothing else."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from spotify_buddies.serve_app.api.inflate import inflate
from spotify_buddies.serve_app.api.limits import REQUEST_BYTES

NAMES: tuple[str, ...] = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)


def add_reflection(services: tuple[str, ...], server: Any) -> None:
    """Register reflection on a server; it lists these services and itself."""
    servicer = ReflectionServicer((*services, *NAMES))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=_parse,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in NAMES:
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}),)
        )


def _parse(data: bytes) -> Any:
    return reflection_pb2.ServerReflectionRequest.FromString(inflate(data, REQUEST_BYTES))
