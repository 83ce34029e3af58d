"""A request as it arrives: its headers, its message, and what is wrong with either."""

from __future__ import annotations

from spotify_buddies.serve_app.http1.framing import PREFIX_BYTES, seconds_of

# Of a request's line and headers together, and of headers: what the front lets through, and what HAProxy adds.
HEAD_BYTES = 12 * 2**10
HEADERS = 80
# Longest wait for the rest of a request, and for an answer, whatever the caller says.
LONGEST_S = 60.0


class Unreadable(Exception):
    """The message cannot be read; the text says why."""


class Request:
    """One request. path, headers: names in lower case, in their order; size: bytes of the body so far.

    beside: bytes of what came without a part of the body, its headers and trailers.
    """

    __slots__ = ("_parts", "beside", "head_complete", "headers", "path", "size")

    def __init__(self) -> None:
        self.path = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.beside = self.size = 0
        self.head_complete = False
        self._parts: list[bytes] = []

    @property
    def head_is_large(self) -> bool:
        """Whether its headers are more than is read."""
        size = len(self.path) + sum(len(name) + len(value) for name, value in self.headers)
        return size > HEAD_BYTES or len(self.headers) > HEADERS

    @property
    def within_s(self) -> float:
        """Seconds that the caller gives it; LONGEST_S where nobody says, or more."""
        timeout = next((value for name, value in self.headers if name == b"grpc-timeout"), None)
        seconds = None if timeout is None else seconds_of(timeout)
        return LONGEST_S if seconds is None else min(seconds, LONGEST_S)

    def add(self, body: bytes, most: int) -> int:
        """Take in a part of the body; of a message with more than `most` bytes only the size. Returns bytes kept."""
        self.size += len(body)
        if self.size - PREFIX_BYTES > most:
            self._parts.clear()
            return 0
        self._parts.append(body)
        return len(body)

    def message(self, most: int) -> bytes:
        """The one message of the body. Unreadable."""
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        length = self.size - PREFIX_BYTES
        if length > most:
            raise Unreadable(f"the message has {length:,} bytes, at most {most:,} are read; ask in parts")
        if length < 0:
            raise Unreadable("the call holds no message")
        if int.from_bytes(body[1:PREFIX_BYTES], "big") != length:
            raise Unreadable("the message has another length than its prefix says")
        if body[0] > 1:
            raise Unreadable("the first byte of the message must be 0, or 1 where it is compressed")
        return body[PREFIX_BYTES:]
