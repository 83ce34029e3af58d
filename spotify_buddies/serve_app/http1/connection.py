"""One connection of the front: requests one after another, each a gRPC call of one message."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import grpc
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from spotify_buddies.serve_app.http1.call import Aborted, Call
from spotify_buddies.serve_app.http1.framing import PREFIX_BYTES, Metadata, answer, refusal
from spotify_buddies.serve_app.http1.place import HEALTH
from spotify_buddies.serve_app.http1.request import HEAD_BYTES, LONGEST_S, Request, Unreadable

# A message up to so many times the largest that is read is taken in, and its handler says how large it is.
COUNTED = 4
# After an answer that ends its connection: what still arrives is thrown away, or the front might not read the answer.
LINGER_S = 2.0
# Of an answer, given to the system at once: the event loop, busy with other calls, need not come back for the rest.
# The system may allow less (net.core.wmem_max).
SEND_BYTES = 2 * 2**20

_HEALTH = HEALTH.encode()
_ANSWER = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_BAD_REQUEST = _ANSWER % b"400 Bad Request"
_LARGE_HEAD = _ANSWER % b"431 Request Header Fields Too Large"
_NUMBERS: dict[grpc.StatusCode, int] = {code: code.value[0] for code in grpc.StatusCode}

_log = logging.getLogger(__name__)


class Server(Protocol):
    """What connections share.

    handlers: grpc.aio's, by path. malformed: what a handler gets in the place of a message that cannot be read, by the
    reason. message_bytes: the largest message. held_bytes: of all messages that are arriving; most_held_bytes: beyond
    these a call is refused. closing: answers end their connections.
    """

    handlers: Mapping[bytes, Any]
    malformed: Callable[[str], Any]
    message_bytes: int
    held_bytes: int
    most_held_bytes: int
    closing: bool

    def opened(self, connection: Connection) -> None:
        """A connection has begun."""

    def closed(self, connection: Connection) -> None:
        """It has ended; its call is being cancelled."""


class Connection(asyncio.Protocol):
    """Reads a request, answers it, reads the next; what is no such request is refused, and the connection ends.

    A connection that is lost while its call is answered cancels the call: the caller has left.
    """

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server, self._loop = server, loop
        self._transport: Any = None
        self._parser = HttpRequestParser(self)
        self._request = Request()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._refusal = b""
        self._held = 0
        self._keep_alive = True
        self._late = self._ended = self._too_early = False

    @property
    def idle(self) -> bool:
        """Whether no part of a request is here."""
        return self._task is None and not self._request.path

    def close(self) -> None:
        """End when what was answered has been read."""
        self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        """Read on. Nothing may arrive while a call is answered: the front sends the next when it has the answer."""
        if self._ended:
            return
        if self._task is not None:
            self.abort()
            return
        request = self._request
        size = request.size
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._refusal = self._refusal or _BAD_REQUEST
        if request.size == size:
            request.beside += len(data)
        if request.beside > HEAD_BYTES and self._task is None:
            self._refusal = _LARGE_HEAD
        if self._too_early:
            self.abort()
        elif self._refusal:
            self._end(self._refusal)
        elif self._timer is None:
            within_s = request.within_s if request.head_complete else LONGEST_S
            self._timer = self._loop.call_later(within_s, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - both ways of ending are one
        """End, and the call with it."""
        self._settle()
        if self._task is not None:
            self._task.cancel()
        self._server.closed(self)

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        """A part of the path."""
        if self._task is not None:
            self._too_early = True
        else:
            self._request.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody reads."""
        if not self._request.head_complete:
            self._request.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Refuse what is no call before its message is here."""
        if self._task is not None:
            return
        request = self._request
        request.head_complete = True
        if self._timer is not None:
            # Until now nobody knew the caller's deadline.
            self._timer.cancel()
            self._timer = None
        if request.head_is_large:
            self._refusal = _LARGE_HEAD
        elif request.path == _HEALTH:
            self._refusal = _ANSWER % (b"503 Service Unavailable" if self._server.closing else b"200 OK")
        elif request.path not in self._server.handlers:
            self._refusal = refusal(12, "no such method", last=True)
        elif self._parser.get_method() != b"POST":
            self._refusal = _ANSWER % b"405 Method Not Allowed"
        elif self._parser.get_http_version() != "1.1":
            self._refusal = _ANSWER % b"505 HTTP Version Not Supported"

    def on_body(self, body: bytes) -> None:
        """A part of the message."""
        if self._refusal or self._task is not None:
            return
        request, server = self._request, self._server
        kept = request.add(body, server.message_bytes)
        self._held += kept
        server.held_bytes += kept
        if not kept:
            self._release()
        if request.size > COUNTED * server.message_bytes:
            self._refusal = refusal(8, f"the message has more than {request.size - PREFIX_BYTES:,} bytes", last=True)
        elif server.held_bytes > server.most_held_bytes:
            self._refusal = refusal(8, "too many large requests arrive at once", last=True)

    def on_message_complete(self) -> None:
        """Answer it."""
        if self._refusal or self._task is not None:
            return
        self._release()
        self._keep_alive = self._parser.should_keep_alive()
        self._task = self._loop.create_task(self._answer(self._server.handlers[self._request.path]))

    # The call.

    async def _answer(self, handler: Any) -> None:
        """Run the handler, and send what comes of it; cancelled: say that it is late, or nothing to who has left."""
        try:
            data = await self._run(handler)
        except asyncio.CancelledError:
            if not self._late:
                raise
            data = self._refused(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        self._task = None
        if self._last or self._transport.is_closing():
            self._end(data)
            return
        self._settle()
        self._late = False
        self._request = Request()
        self._transport.write(data)

    async def _run(self, handler: Any) -> bytes:
        call = Call(self._request.headers)
        try:
            try:
                message = self._request.message(self._server.message_bytes)
            except Unreadable as error:
                request = self._server.malformed(str(error))
            else:
                request = handler.request_deserializer(message)
            response = await handler.unary_unary(request, call)
            code = call.code() or grpc.StatusCode.OK
            if code is grpc.StatusCode.OK:
                return answer(handler.response_serializer(response), call.trailers, last=self._last)
        except Aborted:
            code = call.code() or grpc.StatusCode.UNKNOWN
        except Exception:  # noqa: BLE001 - the front waits for an answer, and would say that the replica was lost
            _log.exception("%s failed", self._request.path)
            return self._refused(grpc.StatusCode.INTERNAL, "the handler failed")
        return self._refused(code, call.details(), call.trailers)

    def _refused(self, code: grpc.StatusCode, details: str, trailers: Metadata = ()) -> bytes:
        return refusal(_NUMBERS[code], details, trailers, last=self._last)

    @property
    def _last(self) -> bool:
        return self._server.closing or not self._keep_alive

    # Its time and its end.

    def _too_late(self) -> None:
        self._late = True
        if self._task is not None:
            self._task.cancel()
        elif self._ended:
            self.abort()
        else:
            self._end(refusal(4, "Deadline Exceeded", last=True) if self._request.head_complete else _BAD_REQUEST)

    def _end(self, data: bytes) -> None:
        """Send the last answer, and wait for the front to end the connection."""
        self._settle()
        self._ended = True
        if self._transport.is_closing():
            return
        self._transport.write(data)
        self._transport.write_eof()
        self._timer = self._loop.call_later(LINGER_S, self._too_late)

    def _settle(self) -> None:
        """Let go of what the request holds."""
        self._release()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _release(self) -> None:
        self._server.held_bytes -= self._held
        self._held = 0
