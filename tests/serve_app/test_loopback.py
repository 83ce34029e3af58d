"""What HAProxy answers without a replica, with the real one and a configuration such as Ray writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import grpc
import pytest

from serve_app.loopback import write_wrapper
from serve_app.ports import free_block

CONFIG = """global
    maxconn 100
defaults
    mode http
    retries 0
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    log 127.0.0.1:514 local0
    errorfile 503 {page}
frontend prometheus
    bind *:{pages}
frontend grpc_frontend
    bind 127.0.0.1:{calls} proto h2
    default_backend grpc-buddies
backend grpc-buddies
    server gone 127.0.0.1:{nobody} proto h2
"""
PAGE = (
    "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n\r\nInternal Server Error"
)


def test_a_front_without_replicas_is_unavailable_and_sends_no_page(tmp_path: Path) -> None:
    (tmp_path / "500.http").write_text(PAGE)
    pages, calls, nobody = free_block(3)
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG.format(page=tmp_path / "500.http", pages=pages, calls=calls, nobody=nobody))
    wrapper = write_wrapper(tmp_path, "127.0.0.1")
    with subprocess.Popen([wrapper, "-db", "-f", config], stderr=subprocess.PIPE, text=True) as haproxy:
        try:
            with grpc.insecure_channel(f"127.0.0.1:{calls}") as channel:
                grpc.channel_ready_future(channel).result(timeout=20)
                call = channel.unary_unary("/buddies.v1.RecommenderService/Recommend")
                with pytest.raises(grpc.RpcError) as refused:
                    call(b"", timeout=20)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
                assert refused.value.details() == "no replica is ready"
        finally:
            haproxy.terminate()
            said = haproxy.communicate(timeout=20)[1]
    assert "ALERT" not in said, said
    written = config.read_text()
    assert f"bind 127.0.0.1:{pages}" in written
    assert "log 127.0.0.1:514" not in written
