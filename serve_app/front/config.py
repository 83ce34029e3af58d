"""Ray Serve's configuration of HAProxy, rewritten: what one caller can hold, and what callers are told.

Ray writes the file anew at each change of replicas; no setting of its says any of this. Run as a program by the
wrapper, before HAProxy reads the file, so it imports nothing but the standard library.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

# Names and values of a call's headers together. Every hop of the way takes so much (deploy/edge/haproxy.cfg too), and
# refuses the one call that brings more.
HEADER_BYTES = 8_192
HEADERS = 64
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
_HEADER = re.compile(r"(global|defaults|frontend|backend|listen)\b")
Rules = Iterator[str]


@dataclass(frozen=True)
class Front:
    """What the front is to allow.

    host: where the status pages listen. token_sha256: of the bearer token they ask for, in hex; empty: nobody is asked.
    pages: the directory with the answers that `write_pages` makes. calls: in flight of one caller; everybody: of all
    callers; held: of one caller and one method that stays open (watches, streams, reflection); connections: to one
    replica. queue_s: longest wait for a replica; message_s: for a call's message; answer_s: for its answer, or
    the next part of it.
    """

    host: str
    token_sha256: str
    pages: str
    calls: int = 1_024
    everybody: int = 4_096
    held: int = 32
    connections: int = 1_024
    queue_s: int = 2
    message_s: int = 10
    answer_s: int = 30


@dataclass(frozen=True)
class _Section:
    """One section of the file: its first line, and those that follow."""

    first: str
    lines: list[str]

    @property
    def name(self) -> str:
        return self.first.partition("#")[0].strip()

    @property
    def speaks_http2(self) -> bool:
        return any(re.search(r"\bproto h2\b", line) for line in self.lines)


def rewrite(text: str, front: Front) -> str:
    """The same configuration with our rules. ValueError: it is not such a configuration as Ray writes."""
    before, sections = _split(text)
    if not any(section.name == "global" for section in sections):
        raise ValueError("no section 'global'")
    written = [*before]
    for section in sections:
        written += [section.first, *_rewritten(section, front)]
    return "\n".join([*written, *_tables(), ""])


def write_pages(directory: Path) -> None:
    """What HAProxy answers by itself, in gRPC's terms: the HTTP status is 200, as gRPC clients ignore any other."""
    for status, (code, message) in _PAGES.items():
        (directory / f"{status}.http").write_bytes(
            f"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n"
            f"grpc-status: {code}\r\ngrpc-message: {message}\r\n\r\n".encode()
        )


_PAGES = {
    400: (3, "the request is not HTTP/2 as gRPC speaks it"),
    408: (3, "the message did not arrive in time"),
    502: (14, "the replica was lost"),
    503: (14, "no replica is ready"),
    504: (14, "the replica did not answer"),
}


def _split(text: str) -> tuple[list[str], list[_Section]]:
    before: list[str] = []
    sections: list[_Section] = []
    for line in text.splitlines():
        if _HEADER.match(line):
            sections.append(_Section(line, []))
        else:
            (sections[-1].lines if sections else before).append(line)
    return before, sections


def _rewritten(section: _Section, front: Front) -> Rules:
    lines = [line for line in section.lines if not re.match(r"\s*log 127\.0\.0\.1:514 ", line)]
    if section.name == "global":
        yield from _global(lines)
    elif section.name in ("frontend prometheus", "listen stats"):
        yield from _status_page(lines, front)
    elif section.name == "frontend http_frontend":
        yield from _after_binds(lines, _http)
    elif section.name == "frontend grpc_frontend":
        yield from _after_binds(lines, lambda: _grpc(front))
    elif section.name == "backend default_grpc_backend":
        yield _refuse(14, "no replica is ready", "")
    elif section.name.startswith("backend ") and section.speaks_http2:
        yield from (_server(line, front) for line in lines)
        yield from _backend(front)
    else:
        yield from lines


def _global(lines: list[str]) -> Rules:
    """The socket by which HAProxy is told what to do is ours alone, and one call's headers fit into a buffer."""
    for line in lines:
        if not line.strip().startswith("tune.bufsize "):
            yield re.sub(r"(\s*stats socket .*)\bmode 666\b", r"\1mode 600", line)
    yield f"    tune.bufsize {BUFFER_BYTES}"
    yield f"    tune.http.maxhdr {2 * HEADERS}"


def _status_page(lines: list[str], front: Front) -> Rules:
    local = [re.sub(r"^(\s*bind )\*?:(\d+)$", rf"\g<1>{front.host}:\2", line) for line in lines]
    yield from _after_binds(local, lambda: _token(front))


def _token(front: Front) -> Rules:
    if front.token_sha256:
        held = f"http_auth_bearer,sha2(256),hex,lower -m str {front.token_sha256}"
        yield f"    http-request deny deny_status 401 unless {{ {held} }}"


def _http() -> Rules:
    """Replicas have nothing to say over HTTP: they would answer with a traceback."""
    yield (
        "    http-request return status 404 content-type text/plain"
        ' string "nothing here; gRPC has a port of its own" unless { path_beg /-/ }'
    )


def _grpc(front: Front) -> Rules:
    """Rules of a call, cheapest first; none before the counting keeps anything for a call that it refuses."""
    yield from _pages(front)
    # HAProxy leaves the content type out of answers without a body, and gRPC clients do not read such.
    yield "    http-after-response set-header content-type application/grpc if { res.hdr(grpc-status) -m found }"
    yield "    acl known path_beg /buddies.v1.RecommenderService/ /grpc.health.v1.Health/ /grpc.reflection."
    yield "    acl known path /ray.serve.RayServeAPIService/Healthz"
    yield "    acl reflection path_beg /grpc.reflection."
    yield "    acl held path /buddies.v1.RecommenderService/RecommendStream /grpc.health.v1.Health/Watch"
    yield "    acl held path_beg /grpc.reflection."
    yield from _metadata()
    yield from _counted(front)
    yield from _message(front)


def _metadata() -> Rules:
    yield (
        '    http-request return status 415 content-type text/plain string "this port speaks gRPC, and no gRPC-Web"'
        " unless METH_POST { req.hdr(content-type) -m reg ^application/grpc($|[+;]) }"
    )
    yield _refuse(12, "no such method", "unless known")
    yield _refuse(
        8,
        f"more than {HEADER_BYTES} bytes or {HEADERS} entries of metadata",
        f"if {{ req.hdrs_bin,length gt {HEADER_BYTES} }} or {{ req.fhdr_cnt gt {HEADERS} }}",
    )
    # Ray Serve could be steered by the first two; nothing of ours reads binary metadata, and bad base64 fails a call.
    yield "    http-request del-header application"
    yield "    http-request del-header multiplexed_model_id"
    yield "    http-request del-header -bin -m end"
    timeout, encoding = "req.hdr(grpc-timeout)", "req.hdr(grpc-encoding)"
    yield _refuse(
        3,
        "grpc-timeout is not of the form 100m",
        f"if {{ {timeout} -m found }} !{{ {timeout} -m reg ^[0-9]{{1,8}}[HMSmun]$ }}",
    )
    yield _refuse(
        12,
        "grpc-encoding is identity, deflate or gzip",
        f"if {{ {encoding} -m found }} !{{ {encoding} -m str identity deflate gzip }}",
        "grpc-accept-encoding identity,deflate,gzip",
    )


def _counted(front: Front) -> Rules:
    yield f"    http-request set-var(txn.caller) req.hdr({CALLER})"
    yield "    http-request set-var(txn.caller) src if !{ var(txn.caller) -m found }"
    yield "    http-request track-sc0 var(txn.caller) table calls_by_caller"
    yield "    http-request track-sc2 str(everybody) table calls_by_caller"
    yield _refuse(
        8,
        "too many calls in flight",
        f"if {{ sc0_conn_cur gt {front.calls} }} or {{ sc2_conn_cur gt {front.everybody} }}",
        "grpc-retry-pushback-ms 100",
        f"{_DETAILS} {_CALLS_DETAILS}",
    )
    yield '    http-request set-var-fmt(txn.held) "%[var(txn.caller)] %[path]" if held'
    yield "    http-request track-sc1 var(txn.held) table held_by_caller if held"
    yield _refuse(
        8,
        "too many open streams",
        f"if held {{ sc1_conn_cur gt {front.held} }}",
        "grpc-retry-pushback-ms 1000",
        f"{_DETAILS} {_STREAMS_DETAILS}",
    )


def _message(front: Front) -> Rules:
    """A call of which no whole message arrives is never answered by gRPC's servers. Reflection talks both ways."""
    yield f"    http-request wait-for-body time {front.message_s}s unless reflection"
    yield "    http-request set-var(txn.size) req.body_len"
    yield _refuse(3, "the call holds no message", "if !reflection { var(txn.size) -m int lt 5 }")
    # The message's length stands in its first five bytes. What fits into the buffer has arrived by now.
    yield "    http-request set-var(txn.message) req.body,bytes(1,4),hex,hex2i,add(5)"
    small = f"{{ var(txn.message) -m int lt {WHOLE_BYTES} }}"
    yield _refuse(
        3, "the message is cut off", f"if !reflection {small} {{ var(txn.message),sub(txn.size) -m int gt 0 }}"
    )


def _tables() -> Rules:
    for name, width in (("calls_by_caller", 64), ("held_by_caller", 160)):
        yield f"backend {name}"
        yield f"    stick-table type string len {width} size 100k expire 1m store conn_cur"


def _refuse(code: int, message: str, condition: str, *headers: str) -> str:
    """A rule that answers with a status of gRPC, without a body."""
    more = "".join(f" hdr {header}" for header in headers)
    what = f'return status 200 hdr grpc-status {code} hdr grpc-message "{message}"{more}'
    return f"    http-request {what} {condition}".rstrip()


def _pages(front: Front) -> Rules:
    for status in _PAGES:
        yield f"    errorfile {status} {front.pages}/{status}.http"


def _backend(front: Front) -> Rules:
    yield from _pages(front)
    yield f"    timeout queue {front.queue_s}s"
    # Of a message that is cut off gRPC's servers say nothing either. A watch is silent for as long as all is well.
    yield f"    timeout server {front.answer_s}s"
    yield "    http-request set-timeout server 24d if { path /grpc.health.v1.Health/Watch }"


def _server(line: str, front: Front) -> str:
    """Calls beyond what a replica takes on wait here, for a bounded time, and not as its connections."""
    return f"{line} maxconn {front.connections}" if re.match(r"\s*server\s", line) else line


def _after_binds(lines: list[str], rules: Callable[[], Rules]) -> Rules:
    last = max((place for place, line in enumerate(lines) if line.strip().startswith("bind ")), default=-1)
    if last < 0:
        raise ValueError("a frontend without a line 'bind'")
    yield from lines[: last + 1]
    yield from rules()
    yield from lines[last + 1 :]


def save(front: Front, path: Path) -> None:
    """Write what the program reads."""
    path.write_text(json.dumps(asdict(front)))


def main(settings: str, *files: str) -> None:
    """Rewrite configuration files in place; one that was rewritten before stays as it is."""
    front = Front(**json.loads(Path(settings).read_bytes()))
    for file in map(Path, files):
        text = file.read_text()
        if "backend calls_by_caller" not in text:
            file.write_text(rewrite(text, front))


if __name__ == "__main__":
    main(*sys.argv[1:])
