"""Faults of connections: callers that say nothing, nonsense, or never read their answers."""

from __future__ import annotations

import random
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import grpc

from spotify_buddies.clients.drills.framework.service import ServiceUnderTest
from spotify_buddies.clients.drills.processes.faults import Healed
from spotify_buddies.clients.python.channel import NO_PROXY
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub

SILENT_CONNECTIONS = 10_000
GARBAGE_CONNECTIONS = 200
GARBAGE_BYTES = 4_096
UNREAD_STREAMS = 16
UNREAD_USERS = 1_000
# Full after the first frames, and nobody makes room; a connection of its own for each.
SMALL_WINDOW = (("grpc.http2.lookahead_bytes", 1), ("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@contextmanager
def silent_connections(service: ServiceUnderTest) -> Iterator[Healed]:
    """Ten thousand connections that say nothing, as many as the limit of open files allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = min(SILENT_CONNECTIONS, hard - 500)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(wanted):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            # Behind the front's own limit they wait in the kernel's queue, and nobody waits for them here.
            connection.connect_ex(_address(service))
        # A new caller: connections that were open before would notice nothing.
        yield lambda: _answers_a_newcomer(service)


@contextmanager
def garbage(service: ServiceUnderTest) -> Iterator[Healed]:
    """Random bytes, some behind a valid HTTP/2 preface, over many connections that are then dropped."""
    rng = random.Random(7)  # noqa: S311 - a drill, not a secret
    for number in range(GARBAGE_CONNECTIONS):
        with suppress(OSError), _connect(service) as connection:
            connection.sendall((HTTP2_PREFACE if number % 2 else b"") + rng.randbytes(GARBAGE_BYTES))
    yield lambda: True


@contextmanager
def unread_answers(service: ServiceUnderTest) -> Iterator[Healed]:
    """Callers that ask for large answers and never read them."""
    request = pb.RecommendRequest(user_ids=[f"nobody-{i}" for i in range(UNREAD_USERS)], limit=100)
    with ExitStack() as stack:
        for _ in range(UNREAD_STREAMS):
            opened = grpc.insecure_channel(service.endpoints.grpc, options=(*SMALL_WINDOW, *NO_PROXY))
            channel = stack.enter_context(opened)
            call = RecommenderServiceStub(channel).RecommendStream(pb.RecommendStreamRequest(request=request))
            stack.callback(call.cancel)
        yield lambda: True


def _answers_a_newcomer(service: ServiceUnderTest) -> bool:
    options = (("grpc.use_local_subchannel_pool", 1), *NO_PROXY)
    with grpc.insecure_channel(service.endpoints.grpc, options=options) as channel:
        try:
            RecommenderServiceStub(channel).GetModelStatus(pb.GetModelStatusRequest(), timeout=2.0)
        except grpc.RpcError:
            return False
    return True


def _connect(service: ServiceUnderTest) -> socket.socket:
    return socket.create_connection(_address(service), timeout=5.0)


def _address(service: ServiceUnderTest) -> tuple[str, int]:
    host, _, port = service.endpoints.grpc.rpartition(":")
    return host, int(port)
