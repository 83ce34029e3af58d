"""The transport below the calls: where the edge listens, plaintext, garbage and old TLS."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from tests.clients.grpc_server import serving
from tests.deploy.conftest import EDGE, Start, connect
from tests.deploy.edge_calls import ask, status
from tests.waiting import WITHIN_S


def test_garbage_plaintext_and_old_tls_are_refused_and_the_edge_stands(start: Start, certificates: Path) -> None:
    with serving(GetModelStatus=status) as backend:
        edge = start(backend)
        token = edge.add("partner")
        edge.reload()
        for garbage in (os.urandom(4096), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + os.urandom(300), b""):
            with connect(edge.port) as plain, suppress(ConnectionError):
                plain.sendall(garbage)
                plain.shutdown(socket.SHUT_WR)
                assert not plain.recv(4096).startswith(b"HTTP/")
        context = ssl.create_default_context(cafile=certificates / "ca.pem")
        context.set_alpn_protocols(["h2"])
        for garbage in (os.urandom(20_000), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(20_000)):
            with connect(edge.port) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(garbage)
                with suppress(ConnectionError):  # it may be closed either way
                    while tls.recv(65_536):
                        pass
        with grpc.insecure_channel(edge.address) as channel:
            with pytest.raises(grpc.RpcError) as refused:
                RecommenderServiceStub(channel).GetModelStatus(pb.GetModelStatusRequest(), timeout=WITHIN_S)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert ask(edge, certificates, token).model == "m"


def test_old_tls_is_refused(start: Start, certificates: Path) -> None:
    with serving() as backend:
        edge = start(backend)
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with connect(edge.port) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(edge.port) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
        assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.2", "h2")


def test_the_edge_listens_on_loopback_unless_told(start: Start) -> None:
    text = (EDGE / "haproxy.cfg").read_text()
    assert "presetenv EDGE_BIND 127.0.0.1:" in text
    binds = [line.split()[1] for line in text.splitlines() if line.strip().startswith("bind ")]
    assert set(binds) == {'"${EDGE_BIND}"', '"${EDGE_METRICS_BIND}"'}
