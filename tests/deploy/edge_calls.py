"""Calls through the edge: with the Python client, and over a raw HTTP/2 connection."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from spotify_buddies.clients.python import Client, ModelStatus, Retry, secure
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.deploy.conftest import Edge, connect
from tests.front import Http2
from tests.waiting import WITHIN_S

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
    with Client(edge.address, credentials=credentials, timeout_s=WITHIN_S, retry=retry) as client:
        return client.model_status()


def many(call: Callable[[], object], count: int = 1000) -> None:
    for _ in range(count):
        call()


@contextmanager
def raw(edge: Edge, certificates: Path) -> Iterator[Http2]:
    """A raw HTTP/2 connection to the edge."""
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    context.set_alpn_protocols(["h2"])
    with connect(edge.port) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
        yield Http2(tls)


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")
