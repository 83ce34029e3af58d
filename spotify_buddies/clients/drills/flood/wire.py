"""HTTP/2 frames that no client would send (RFC 9113), over many cheap connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from hpack import Encoder, NeverIndexedHeaderTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x9
END_STREAM, END_HEADERS = 0x1, 0x4
CANCEL = (8).to_bytes(4, "big")
# SETTINGS_INITIAL_WINDOW_SIZE of one byte: after the first byte the server waits for the reader.
SMALL_WINDOW = (4).to_bytes(2, "big") + (1).to_bytes(4, "big")
# The most that a receiver takes in one frame unless it says more.
LARGEST_FRAME = 16_384
NOTHING = b"\0\0\0\0\0"

Header = tuple[str, str]


@dataclass(frozen=True)
class Door:
    """An entrance of the service. headers: of each call. ca: of one with TLS. source: the address to call from."""

    host: str
    port: int
    headers: tuple[Header, ...] = ()
    ca: str = ""
    source: str = ""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame: length, type, flags, stream, payload."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def block(path: str, headers: Sequence[Header]) -> bytes:
    """A call's headers, packed so that the same bytes may be sent again: nothing is indexed (RFC 7541, 6.2.3)."""
    every = [
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
        ("te", "trailers"), ("content-type", "application/grpc"), *headers,
    ]  # fmt: skip
    packed: bytes = Encoder().encode([NeverIndexedHeaderTuple(name, value) for name, value in every], huffman=False)
    return packed


@dataclass
class Connection:
    """One connection; what arrives is discarded, or not read at all."""

    writer: asyncio.StreamWriter
    reading: asyncio.Task[None] | None
    _next: int = field(default=1)

    def stream(self) -> int:
        """The number of a new stream."""
        number, self._next = self._next, self._next + 2
        return number

    @property
    def gone(self) -> bool:
        """Whether the other side has ended it."""
        return self.writer.is_closing() or (self.reading is not None and self.reading.done())

    async def send(self, *frames: bytes) -> None:
        """Send frames; ConnectionError when the other side has ended it."""
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def call(self, headers: bytes, body: bytes | None = None, *, end: bool = True) -> int:
        """Open a stream; body None: no message at all, end: half-close it. Returns its number."""
        number = self.stream()
        last = END_STREAM if end else 0
        parts = [headers[offset : offset + LARGEST_FRAME] for offset in range(0, len(headers), LARGEST_FRAME)]
        ends = [0] * (len(parts) - 1) + [END_HEADERS]
        frames = [frame(HEADERS, ends[0] | (last if body is None else 0), number, parts[0])]
        frames += [frame(CONTINUATION, flags, number, part) for flags, part in zip(ends[1:], parts[1:], strict=True)]
        if body is not None:
            frames.append(frame(DATA, last, number, body))
        await self.send(*frames)
        return number


@asynccontextmanager
async def connected(door: Door, *, read: bool = True, settings: bytes = b"") -> AsyncIterator[Connection]:
    """A connection until the block ends. OSError: it is refused."""
    reader, writer = await asyncio.open_connection(
        door.host,
        door.port,
        ssl=_tls(door) if door.ca else None,
        server_hostname="localhost" if door.ca else None,
        local_addr=(door.source, 0) if door.source else None,
    )
    reading = asyncio.create_task(_discard(reader)) if read else None
    try:
        connection = Connection(writer, reading)
        await connection.send(PREFACE, frame(SETTINGS, 0, 0, settings))
        yield connection
    finally:
        if reading is not None:
            reading.cancel()
        # Not closed in order: a TLS farewell would wait for a server that may not read.
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def _tls(door: Door) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=door.ca)
    context.set_alpn_protocols(["h2"])
    return context


async def _discard(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(65_536):
            pass
