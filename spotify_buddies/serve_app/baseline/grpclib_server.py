"""The same service on grpclib, gRPC in pure Python, in one process: a peer of measurements."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.server import Server, Stream

from spotify_buddies.serve_app.api.grpc_registration import METHODS, SERVICE, handlers_of
from spotify_buddies.serve_app.api.servicer import GrpcServicer
from spotify_buddies.serve_app.api.status import DETAILS_KEY
from spotify_buddies.serve_app.build import local, open_service
from spotify_buddies.serve_app.http1.call import Call
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.telemetry.metrics import Silent


class _Bytes(CodecBase):
    """Messages as they are: the handlers bring their own parser and encoder."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        del message_type
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        del message_type
        return data


class _Details(StatusDetailsCodecBase):
    """google.rpc.Status, which the handlers have packed."""

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        del status, message
        return bytes(details)

    def decode(self, status: Status, message: str | None, data: bytes) -> bytes:
        del status, message
        return data


class Unary:
    """The unary methods of the API, as grpclib takes them."""

    def __init__(self, handlers: Mapping[str, Any]) -> None:
        self._handlers = handlers

    def __mapping__(self) -> Mapping[str, Handler]:
        """Method paths and what answers them."""
        return {
            f"/{SERVICE}/{name}": Handler(_answering(self._handlers[name]), Cardinality.UNARY_UNARY, bytes, bytes)
            for name in METHODS
        }


def _answering(handler: Any) -> Callable[[Stream[bytes, bytes]], Awaitable[None]]:
    async def answer(stream: Stream[bytes, bytes]) -> None:
        data = await stream.recv_message()
        call = Call([(name.encode(), str(value).encode()) for name, value in (stream.metadata or {}).items()])
        answered = await handler.unary_unary(handler.request_deserializer(data or b""), call)
        code = call.code() or grpc.StatusCode.OK
        if code is grpc.StatusCode.OK:
            await stream.send_message(handler.response_serializer(answered))
            return
        # Of trailers that begin with grpc-, grpclib sends none but these.
        details = dict(call.trailers).get(DETAILS_KEY, b"")
        await stream.send_trailing_metadata(
            status=Status(code.value[0]), status_message=call.details(), status_details=details
        )

    return answer


@asynccontextmanager
async def serve_grpclib(
    settings: ServeSettings, bundle: Path, version: str, services: Services, *, model: str
) -> AsyncIterator[str]:
    """Serve until the block ends; yields host:port. BundleError when the bundle is refused."""
    telemetry = Silent()
    async with AsyncExitStack() as stack:
        opened = await open_service(
            settings, bundle, version, services, stack,
            model=model, telemetry=telemetry, neighbours=local, replica=f"grpclib#{uuid.uuid4().hex[:8]}",
        )  # fmt: skip
        server = Server(
            [Unary(handlers_of(GrpcServicer(opened, telemetry, settings)))],
            codec=_Bytes(),
            status_details_codec=_Details(),
        )
        await server.start(settings.host, settings.grpc_port)
        try:
            yield f"{settings.host}:{settings.grpc_port}"
        finally:
            server.close()
            await server.wait_closed()
