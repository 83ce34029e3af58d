"""Registration of the API on a gRPC server; bytes that are no message are the caller's error and not ours.

The generated registration parses requests inside gRPC, which answers INTERNAL (or, in Ray Serve's proxy, UNKNOWN) when
the bytes do not parse, a string that is not UTF-8 among them. Here they become a Malformed, and the handler answers.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api import direct_handlers
from spotify_buddies.serve_app.api.codec import Malformed
from spotify_buddies.serve_app.api.inflate import InflateError, inflate
from spotify_buddies.serve_app.api.limits import REQUEST_BYTES

SERVICE = pb.DESCRIPTOR.services_by_name["RecommenderService"].full_name
METHODS: dict[str, type[Message]] = {
    "Recommend": pb.RecommendRequest,
    "Feedback": pb.FeedbackRequest,
    "GetModelStatus": pb.GetModelStatusRequest,
    "EraseUser": pb.EraseUserRequest,
}
# Asked for so often, and answered so fast, that what Ray Serve adds to a call counts.
SHORT = ("Recommend", "Feedback")
STREAMS: dict[str, type[Message]] = {
    "RecommendStream": pb.RecommendStreamRequest,
    "ExportUser": pb.ExportUserRequest,
}


def add_service(servicer: Any, server: Any) -> None:
    """Register the methods of `servicer` under the API's name; the same shape as the generated function.

    They answer with messages or with whatever else has SerializeToString.
    """
    handlers = handlers_of(servicer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)
    direct_handlers.shorten(server, SERVICE, {name: handlers[name] for name in SHORT})


def handlers_of(servicer: Any) -> dict[str, Any]:
    """The gRPC handler of each method."""
    makers = (METHODS, grpc.unary_unary_rpc_method_handler), (STREAMS, grpc.unary_stream_rpc_method_handler)
    return {
        name: make(
            getattr(servicer, name),
            request_deserializer=parser(request),
            response_serializer=methodcaller("SerializeToString"),
        )
        for methods, make in makers
        for name, request in methods.items()
    }


def parser(message: type[Message]) -> Callable[[bytes], Message | Malformed]:
    """A deserialiser that never raises."""

    def parse(data: bytes) -> Message | Malformed:
        if len(data) > REQUEST_BYTES:
            return Malformed(f"the message has {len(data):,} bytes, at most {REQUEST_BYTES:,} are read; ask in parts")
        try:
            return message.FromString(inflate(data, REQUEST_BYTES))
        except InflateError as error:
            return Malformed(str(error))
        except DecodeError:
            return Malformed(f"the bytes are not a {message.DESCRIPTOR.full_name}, or a string in them is not UTF-8")

    return parse
