"""What tests of the front share: a configuration such as Ray writes, and calls as raw HTTP/2."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from tests.waiting import WITHIN_S

CONFIG = """global
    log 127.0.0.1:514 local0 info
    stats socket {admin} mode 666 level admin expose-fd listeners
    maxconn 2000
    tune.bufsize 16384
    tune.h2.fe.max-concurrent-streams 100
    tune.h2.be.max-concurrent-streams 1
defaults
    mode http
    log global
    retries 0
    timeout connect 1s
    timeout client 30s
    option abortonclose
    errorfile 503 {page}
frontend prometheus
    bind :{metrics}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    no log
frontend http_frontend
    bind 127.0.0.1:{http}
    acl healthcheck path -i /-/healthz
    http-request return status 200 content-type text/plain string "success" if healthcheck
    default_backend default_backend
backend default_backend
    http-request return status 500 content-type text/plain string "Traceback"
frontend grpc_frontend
    bind 127.0.0.1:{calls} proto h2
    acl is_buddies req.hdr(application) -m str buddies
    use_backend grpc-buddies if is_buddies
    default_backend grpc-buddies
backend grpc-buddies
    http-reuse always
    server replica 127.0.0.1:{replica} proto h2
listen stats
    bind *:{stats}
    stats enable
    stats uri /stats
"""
# Before Ray knows of a replica.
EMPTY = (
    CONFIG.replace("    default_backend grpc-buddies\n", "    default_backend default_grpc_backend\n")
    .replace("    use_backend grpc-buddies if is_buddies\n", "")
    .replace(
        "backend grpc-buddies\n    http-reuse always\n    server replica 127.0.0.1:{replica} proto h2\n",
        "backend default_grpc_backend\n    mode http\n"
        "    http-request return status 200 content-type application/grpc hdr grpc-status 5\n",
    )
)
PAGE = (
    "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n\r\nInternal Server Error"
)
RECOMMEND = "/buddies.v1.RecommenderService/Recommend"
STREAM = "/buddies.v1.RecommenderService/RecommendStream"
STATUS = "/buddies.v1.RecommenderService/GetModelStatus"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
FRAME = 16_384
NOTHING = b"\0\0\0\0\0"  # an empty message, framed


@dataclass
class Answer:
    """What one stream was answered. headers: those of the response and its trailers. reset: the error code, if any."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int | None:
        """gRPC's status; None: there is none."""
        return int(self.headers["grpc-status"]) if "grpc-status" in self.headers else None

    @property
    def done(self) -> bool:
        return self.ended or self.reset is not None


class Http2:
    """One HTTP/2 connection, as raw as a test wants it."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.terminated: int | None = None
        self._h2 = H2Connection(H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
        self._answers: dict[int, Answer] = {}
        self._h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self._h2.data_to_send())

    def open(
        self, path: str, extra: Sequence[tuple[str, str]] = (), *, body: bytes | None = None, end: bool = True,
        content_type: str = "application/grpc",
    ) -> int:  # fmt: skip
        """Open a stream. body None: none at all; end: half-close it."""
        number = self._h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
            ("te", "trailers"), ("content-type", content_type), *extra,
        ]  # fmt: skip
        self._h2.send_headers(number, headers, end_stream=end and body is None)
        if body is not None:
            for first in range(0, max(len(body), 1), FRAME):
                last = first + FRAME >= len(body)
                self._h2.send_data(number, body[first : first + FRAME], end_stream=end and last)
        self._answers[number] = Answer()
        self.flush()
        return number

    def reset(self, number: int) -> None:
        self._h2.reset_stream(number, error_code=8)
        self.flush()

    def answer(self, number: int, timeout_s: float = WITHIN_S) -> Answer:
        """Wait until a stream has ended. TimeoutError, or the connection's end as ConnectionError."""
        answer = self._answers[number]
        self.socket.settimeout(timeout_s)
        while not answer.done:
            self._receive()
        return answer

    def first(self, number: int, timeout_s: float = WITHIN_S) -> Answer:
        """Wait for a stream's first data, or its end."""
        answer = self._answers[number]
        self.socket.settimeout(timeout_s)
        while not (answer.done or answer.data):
            self._receive()
        return answer

    def _receive(self) -> None:
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError(f"the connection was ended ({self.terminated})")
        for event in self._h2.receive_data(data):
            self._take(event)
        self.flush()

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.terminated = int(event.error_code or 0)
            return
        answer = self._answers.get(getattr(event, "stream_id", 0) or 0)
        if answer is None:
            return
        if isinstance(event, ResponseReceived | TrailersReceived):
            answer.headers |= {str(name): str(value) for name, value in event.headers or ()}
        elif isinstance(event, DataReceived):
            answer.data += event.data or b""
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, StreamEnded):
            answer.ended = True
        elif isinstance(event, StreamReset):
            answer.reset = int(event.error_code or 0)


@contextmanager
def http2(address: str) -> Iterator[Http2]:
    """A connection to host:port, closed after the block."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=WITHIN_S) as sock:
        yield Http2(sock)
