"""What gRPC puts into HTTP: messages, deadlines and statuses, as they stand in an HTTP/1.1 answer.

After https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; HTTP/1.1 has trailers too, behind the last chunk.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from urllib.parse import quote

# Of a message: one byte that says whether it is packed, four with its length.
PREFIX_BYTES = 5

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-accept-encoding: identity,deflate,gzip\r\n"
_CHUNKED = _HEAD + b"transfer-encoding: chunked\r\n"
_EMPTY = _HEAD + b"content-length: 0\r\n"
_CLOSE = b"connection: close\r\n"
_STATUS_OK = b"\r\n0\r\ngrpc-status: 0\r\n"
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_DIGITS = 8
# What grpc-message shows as it is.
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

Metadata = Iterable[tuple[str, str | bytes]]


def seconds_of(timeout: bytes) -> float | None:
    """The seconds that a grpc-timeout stands for; None: it is none."""
    unit, digits = _UNITS.get(timeout[-1:]), timeout[:-1]
    if unit is None or not digits.isdigit() or len(digits) > _DIGITS:
        return None
    return int(digits) * unit


def answer(message: bytes, trailers: Metadata = (), *, last: bool = False) -> bytes:
    """The HTTP answer of a call that went well. last: the connection ends with it."""
    return b"".join(
        (
            _CHUNKED, _CLOSE if last else b"", b"\r\n%x\r\n\0" % (PREFIX_BYTES + len(message)),
            len(message).to_bytes(4, "big"), message, _STATUS_OK, _lines(trailers), b"\r\n",
        )
    )  # fmt: skip


def refusal(code: int, details: str, trailers: Metadata = (), *, last: bool = False) -> bytes:
    """The HTTP answer of any other call: its status without a message, which gRPC calls trailers only."""
    said = b"grpc-status: %d\r\ngrpc-message: %s\r\n" % (code, percent_encoded(details))
    return b"".join((_EMPTY, _CLOSE if last else b"", said, _lines(trailers), b"\r\n"))


def percent_encoded(details: str) -> bytes:
    """A grpc-message: printable ASCII but the percent sign as it is, other bytes of UTF-8 as %XX.

    Blanks at both ends too, which HTTP would take away. A half of a surrogate pair becomes a question mark.
    """
    quoted = quote(details, safe=_PLAIN, errors="replace")
    start, end = len(quoted) - len(quoted.lstrip(" ")), len(quoted.rstrip(" "))
    return ("%20" * start + quoted[start:end] + "%20" * (len(quoted) - max(start, end))).encode()


def _lines(trailers: Metadata) -> bytes:
    """Trailers as lines. ValueError: a name or value would not be one."""
    return b"".join(_line(name, value) for name, value in trailers)


def _line(name: str, value: str | bytes) -> bytes:
    if name.endswith("-bin"):
        data = value if isinstance(value, bytes) else value.encode()
        return b"%s: %s\r\n" % (name.encode(), base64.b64encode(data).rstrip(b"="))
    text = value.decode() if isinstance(value, bytes) else value
    if not (name.isascii() and name.isprintable() and text.isascii() and text.isprintable()):
        raise ValueError(f"{name!r} or its value cannot be a trailer: it is not printable ASCII")
    return f"{name}: {text}\r\n".encode()
