"""Unary calls over HTTP/1.1: a backend with the sockets of the replicas beside the one that Ray writes for gRPC.

A replica is in both. Where none of its sockets answers, as with replicas of a build without them, calls take the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from spotify_buddies.serve_app.http1.place import HEALTH, socket_of
from spotify_buddies.serve_app.runtime.front.rules import Front, Rules, backend_rules, server

PATHS = "/buddies.v1.RecommenderService/Recommend /buddies.v1.RecommenderService/Feedback"
_SERVER = re.compile(r"(?P<start>\s*server (?P<name>\S+) )(?P<host>\S+):\d+ proto h2\b(?P<rest>.*)")
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
# Ray's check of a replica speaks HTTP/2; its comments are about that.
_LEFT_OUT = re.compile(r"\s*(#|server |option tcp-check|tcp-check )")


def beside(name: str) -> str:
    """The name of the backend beside one of Ray's."""
    return f"{name}-http1"


def unary_backend(name: str, lines: Sequence[str], front: Front) -> list[str]:
    """The backend beside one of Ray's, by its name and lines; empty where it has no replica on this machine."""
    found = [match for line in lines if (match := _SERVER.fullmatch(line)) and not _is_backup(line)]
    if not front.sockets or not found or any(match["host"] not in _LOCAL for match in found):
        return []
    kept = [line for line in lines if not _LEFT_OUT.match(line)]
    checked = any(re.search(r"\bcheck\b", line) for line in lines)
    return [
        f"backend {beside(name)}",
        *kept,
        *(_check() if checked else ()),
        *(server(f"{m['start']}unix@{_socket(front, m['name'])}{m['rest']}", front) for m in found),
        *backend_rules(front),
    ]


def routed(lines: Sequence[str], beside_it: Sequence[str]) -> Rules:
    """Lines of the gRPC frontend, with the way of unary calls before the others. beside_it: Ray's backends with one."""
    last = next((line.split()[1] for line in lines if re.match(r"\s*default_backend\s", line)), "")
    first = next((i for i, line in enumerate(lines) if re.match(r"\s*(use|default)_backend\s", line)), len(lines))
    yield from lines[:first]
    if last in beside_it:
        yield f"    acl unary path {PATHS}"
        yield f"    use_backend {beside(last)} if unary {{ nbsrv({beside(last)}) gt 0 }}"
    yield from lines[first:]


def _check() -> Rules:
    yield f"    option httpchk GET {HEALTH}"
    yield "    http-check expect status 200"


def _is_backup(line: str) -> bool:
    return re.search(r"\bbackup\b", line) is not None


def _socket(front: Front, server_name: str) -> str:
    # Ray's name of a server ends with the replica's id.
    return str(socket_of(front.sockets, server_name.rpartition("-")[2]))
