"""A real gRPC server whose handlers a test supplies."""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import status_pb2

from spotify_buddies.protos.buddies.v1 import recommender_pb2_grpc as rpc

Handler = Callable[[Message, grpc.ServicerContext], Message]


@contextmanager
def serving(**handlers: Handler) -> Iterator[str]:
    servicer = rpc.RecommenderServiceServicer()
    for name, handler in handlers.items():
        setattr(servicer, name, handler)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    rpc.add_RecommenderServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def refuse(context: grpc.ServicerContext, code: grpc.StatusCode, message: str, *details: Message) -> None:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, message)
