"""The front's rules in HAProxy's language: limits of one caller, and the answers of refusals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Names and values of a call's headers together. Every hop of the way takes so much (deploy/edge/haproxy.cfg too), and
# refuses the one call that brings more.
HEADER_BYTES = 8_192
HEADERS = 64
# Beyond these HAProxy ends the connection instead of the call; it keeps a list of twice as many on its stack.
MOST_HEADERS = 1_024
# HAProxy can refuse one call only where its headers fit into a buffer; it ends the whole connection otherwise.
BUFFER_BYTES = 72 * 1_024
# Messages up to here are whole, beside a call's headers, before the call is passed on.
WHOLE_BYTES = 48 * 1_024
# The metadata's name that the edge puts the caller's name into.
CALLER = "buddies-caller"

# google.rpc.Status with ErrorInfo and RetryInfo, in base64 without padding; a test reads them.
_CALLS_DETAILS = (
    "CAgSGHRvbyBtYW55IGNhbGxzIGluIGZsaWdodBpFCih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuRXJyb3JJbmZvEhkKDlRPT19NQU5Z"
    "X0NBTExTEgdidWRkaWVzGjMKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5SZXRyeUluZm8SBwoFEIDC1y8"
)
_STREAMS_DETAILS = (
    "CAgSFXRvbyBtYW55IG9wZW4gc3RyZWFtcxpHCih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuRXJyb3JJbmZvEhsKEFRPT19NQU5ZX1NU"
    "UkVBTVMSB2J1ZGRpZXMaMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIAQ"
)
_DETAILS = "grpc-status-details-bin"

STREAMS = "/buddies.v1.RecommenderService/RecommendStream /buddies.v1.RecommenderService/ExportUser"

Rules = Iterator[str]


@dataclass(frozen=True)
class Front:
    """Limits and places of the front.

    host: where the status pages listen. token_sha256: of the bearer token they ask for, in hex; empty: nobody is asked.
    pages: the directory with the answers that `write_pages` makes. calls: in flight of one caller; everybody: of all
    callers; held: of one caller and one method that stays open, watches or reflection; streams: the same of streams, of
    which a replica works on few; connections: to one replica. queue_s: longest wait for a replica; message_s: for a
    call's message; answer_s: for its answer, or the next part of it. sockets: the directory where replicas take unary
    calls over HTTP/1.1; empty: they take all over gRPC.
    """

    host: str
    token_sha256: str
    pages: str
    calls: int = 1_024
    everybody: int = 4_096
    held: int = 32
    streams: int = 8
    connections: int = 1_024
    queue_s: int = 2
    message_s: int = 10
    answer_s: int = 30
    sockets: str = ""


def write_pages(directory: Path) -> None:
    """Write HAProxy's own answers in gRPC's terms: the HTTP status is 200, as gRPC clients ignore any other."""
    for status, (code, message) in _PAGES.items():
        (directory / f"{status}.http").write_bytes(
            f"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n"
            f"grpc-status: {code}\r\ngrpc-message: {message}\r\n\r\n".encode()
        )


_PAGES = {
    400: (3, "the request is not HTTP/2 as gRPC speaks it"),
    408: (3, "the message did not arrive in time"),
    502: (14, "the replica was lost"),
    503: (14, "no replica is ready or has room"),
    504: (14, "the replica did not answer"),
}


def token_rules(front: Front) -> Rules:
    """Access to a status page: for those who hold the token."""
    if front.token_sha256:
        held = f"http_auth_bearer,sha2(256),hex,lower -m str {front.token_sha256}"
        yield f"    http-request deny deny_status 401 unless {{ {held} }}"


def http_rules() -> Rules:
    """404 for all but health: replicas would answer with a traceback over HTTP."""
    yield (
        "    http-request return status 404 content-type text/plain"
        ' string "nothing here; gRPC has a port of its own" unless { path /-/healthz /-/routes }'
    )


def grpc_rules(front: Front) -> Rules:
    """Rules of a call, cheapest first; none before the counting keeps anything for a call that it refuses."""
    yield from _pages(front)
    # HAProxy leaves the content type out of answers without a body, and gRPC clients do not read such.
    yield "    http-after-response set-header content-type application/grpc if { res.hdr(grpc-status) -m found }"
    yield "    acl known path_beg /buddies.v1.RecommenderService/ /grpc.health.v1.Health/ /grpc.reflection."
    yield "    acl known path /ray.serve.RayServeAPIService/Healthz"
    yield "    acl reflection path_beg /grpc.reflection."
    yield f"    acl stream path {STREAMS}"
    yield f"    acl held path {STREAMS} /grpc.health.v1.Health/Watch"
    yield "    acl held path_beg /grpc.reflection."
    # A watcher whose machine is gone would keep its place for ever.
    yield "    option clitcpka"
    yield "    clitcpka-idle 60s"
    yield "    clitcpka-intvl 10s"
    yield "    clitcpka-cnt 3"
    yield from _metadata()
    yield from _counted(front)
    yield from _message(front)


def _metadata() -> Rules:
    yield (
        '    http-request return status 415 content-type text/plain string "this port accepts gRPC, not gRPC-Web"'
        " unless METH_POST { req.hdr(content-type) -m reg ^application/grpc($|[+;]) }"
    )
    yield refuse(12, "no such method", "unless known")
    yield refuse(
        8,
        f"more than {HEADER_BYTES} bytes or {HEADERS} entries of metadata",
        f"if {{ req.hdrs_bin,length gt {HEADER_BYTES} }} or {{ req.fhdr_cnt gt {HEADERS} }}",
    )
    # Ray Serve could be steered by the first two; nothing of ours reads binary metadata, and bad base64 fails a call.
    yield "    http-request del-header application"
    yield "    http-request del-header multiplexed_model_id"
    yield "    http-request del-header -bin -m end"
    timeout, encoding = "req.fhdr(grpc-timeout)", "req.fhdr(grpc-encoding)"
    for name in ("grpc-timeout", "grpc-encoding", CALLER):
        yield refuse(3, f"{name} is there more than once", f"if {{ req.fhdr_cnt({name}) gt 1 }}")
    yield refuse(
        3,
        "grpc-timeout must be 1 to 8 digits and one of H M S m u n, such as 100m",
        f"if {{ {timeout} -m found }} !{{ {timeout} -m reg ^[0-9]{{1,8}}[HMSmun]$ }}",
    )
    yield refuse(
        12,
        "grpc-encoding must be identity, deflate or gzip",
        f"if {{ {encoding} -m found }} !{{ {encoding} -m str identity deflate gzip }}",
        "grpc-accept-encoding identity,deflate,gzip",
    )


def _counted(front: Front) -> Rules:
    """Counts by caller first: a call that is refused to one must not count among those that all have in flight."""
    yield f'    http-request set-var-fmt(txn.caller) "name %[req.fhdr({CALLER})]" if {{ req.fhdr({CALLER}) -m found }}'
    yield '    http-request set-var-fmt(txn.caller) "address %[src]" if !{ var(txn.caller) -m found }'
    yield "    http-request track-sc0 var(txn.caller) table calls_by_caller"
    yield from _too_many_calls(f"if {{ sc0_conn_cur gt {front.calls} }}")
    yield '    http-request set-var-fmt(txn.held) "%[var(txn.caller)] %[path]" if held'
    yield "    http-request track-sc1 var(txn.held) table held_by_caller if held"
    yield from _too_many_streams(f"if held !stream {{ sc1_conn_cur gt {front.held} }}")
    yield from _too_many_streams(f"if stream {{ sc1_conn_cur gt {front.streams} }}")
    yield "    http-request track-sc2 str(all) table calls_of_all"
    yield from _too_many_calls(f"if {{ sc2_conn_cur gt {front.everybody} }}")


def _too_many_calls(condition: str) -> Rules:
    details = f"{_DETAILS} {_CALLS_DETAILS}"
    yield refuse(8, "too many calls in flight", condition, "grpc-retry-pushback-ms 100", details)


def _too_many_streams(condition: str) -> Rules:
    details = f"{_DETAILS} {_STREAMS_DETAILS}"
    yield refuse(8, "too many open streams", condition, "grpc-retry-pushback-ms 1000", details)


def _message(front: Front) -> Rules:
    """A call of which no whole message arrives is never answered by gRPC's servers. Reflection talks both ways."""
    yield f"    http-request wait-for-body time {front.message_s}s unless reflection"
    yield "    http-request set-var(txn.size) req.body_len"
    yield refuse(3, "the call holds no message", "if !reflection { var(txn.size) -m int lt 5 }")
    # The message's length is in its first five bytes. What fits into the buffer has arrived by now.
    yield "    http-request set-var(txn.message) req.body,bytes(1,4),hex,hex2i,add(5)"
    small = f"{{ var(txn.message) -m int lt {WHOLE_BYTES} }}"
    yield refuse(
        3,
        "the message is shorter than its length prefix says",
        f"if !reflection {small} {{ var(txn.message),sub(txn.size) -m int gt 0 }}",
    )


def tables() -> Rules:
    """Where calls in flight are counted; HAProxy gives each table a backend of its name."""
    for name, width in (("calls_by_caller", 80), ("held_by_caller", 160), ("calls_of_all", 4)):
        yield f"backend {name}"
        yield f"    stick-table type string len {width} size 100k expire 1m store conn_cur"


def refuse(code: int, message: str, condition: str, *headers: str) -> str:
    """A rule that answers with a status of gRPC, without a body."""
    more = "".join(f" hdr {header}" for header in headers)
    what = f'return status 200 hdr grpc-status {code} hdr grpc-message "{message}"{more}'
    return f"    http-request {what} {condition}".rstrip()


def _pages(front: Front) -> Rules:
    for status in _PAGES:
        yield f"    errorfile {status} {front.pages}/{status}.http"


def backend_rules(front: Front) -> Rules:
    """Waiting times for the replicas."""
    yield from _pages(front)
    yield f"    timeout queue {front.queue_s}s"
    # Of a message that is cut off gRPC's servers say nothing either. A watch is silent for as long as all is well.
    yield f"    timeout server {front.answer_s}s"
    yield "    http-request set-timeout server 24d if { path /grpc.health.v1.Health/Watch }"


def server(line: str, front: Front) -> str:
    """Calls beyond what a replica takes on wait here, for a bounded time, and not as its connections."""
    return f"{line} maxconn {front.connections}" if re.match(r"\s*server\s", line) else line
