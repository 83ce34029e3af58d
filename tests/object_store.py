"""A server that speaks S3, with an empty bucket, and the environment that names it."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

LOGIN = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


@contextmanager
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, bytes], None]]:
    """The server until the block ends; yields what puts an object into s3://bucket."""
    moto = pytest.importorskip("moto.server", reason="needs pip install 'moto[server]'")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    connection = http.client.HTTPConnection(host, port)

    def put(path: str, content: bytes = b"") -> None:
        headers = {"Authorization": LOGIN, "Content-Type": "application/octet-stream"}
        connection.request("PUT", f"/bucket/{path}".rstrip("/"), content, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200

    try:
        # What another server of this process was given is still there.
        connection.request("POST", "/moto-api/reset")
        connection.getresponse().read()
        put("")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield put
    finally:
        connection.close()
        server.stop()
