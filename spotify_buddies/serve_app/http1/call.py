"""One call as its handler sees it: what ours use of grpc.aio's ServicerContext."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import grpc

from spotify_buddies.serve_app.http1.framing import Metadata

# Of HTTP and of gRPC itself: no metadata of the caller's.
_RESERVED = frozenset(
    (b"host", b"te", b"content-type", b"content-length", b"transfer-encoding", b"connection", b"expect", b"trailer")
)
_GRPC = b"grpc-"


class Aborted(Exception):
    """A handler has ended its call; code and details are in the call."""


class Call:
    """A call in flight. headers: names in lower case and values, as they came."""

    __slots__ = ("_code", "_details", "_headers", "trailers")

    def __init__(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._headers = headers
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self.trailers: Metadata = ()

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        """The caller's metadata, in its order; a name may be there several times."""
        return [
            (name.decode("latin-1"), value.decode(errors="replace"))
            for name, value in self._headers
            if name not in _RESERVED and not name.startswith(_GRPC)
        ]

    def values_of(self, name: str) -> list[str]:
        """The caller's values of one name, in their order; the others are not decoded."""
        wanted = name.encode()
        return [value.decode(errors="replace") for key, value in self._headers if key == wanted]

    def code(self) -> grpc.StatusCode | None:
        """The status code so far; None: the handler has set none."""
        return self._code

    def details(self) -> str:
        """What is said to people about the status; empty so far."""
        return self._details

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status code."""
        self._code = code

    def set_details(self, details: str) -> None:
        """Set the message for people."""
        self._details = details

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        """Set the trailers beside the status; values of names that end with -bin are bytes."""
        self.trailers = tuple(trailing_metadata)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> None:
        """End the call with a status: raises Aborted."""
        self._code, self._details = code, details
        self.trailers = tuple(trailing_metadata)
        raise Aborted
