"""A listener with a handler of the tests, and raw HTTP/1.1 to it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from spotify_buddies.serve_app.http1.listener import Listener

WITHIN_S = 60.0
PATH = "/test.Service/Call"
MOST = 100_000

Handler = Callable[[Any, Any], Awaitable[bytes]]
Run = Callable[[Coroutine[Any, Any, None]], None]


@dataclass
class Unread:
    """In the place of a message."""

    reason: str


async def echo(message: Any, context: Any) -> bytes:
    """The message back; in words why there is none."""
    if isinstance(message, Unread):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message.reason)
    return message


def framed(message: bytes, *, flag: int = 0) -> bytes:
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


def request(
    message: bytes = b"", *headers: str, path: str = PATH, body: bytes | None = None, method: str = "POST"
) -> bytes:
    """A request as HAProxy writes it: its body in one chunk. body: in the place of the framed message."""
    data = framed(message) if body is None else body
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "te: trailers", *headers, "transfer-encoding: chunked"]
    chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + chunk + b"0\r\n\r\n"


@dataclass
class Answer:
    """headers: with the trailers. message: None where there is none."""

    http: int
    headers: dict[str, str]
    message: bytes | None = None

    @property
    def status(self) -> int:
        return int(self.headers["grpc-status"])


class Client:
    """One connection to the listener."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> Answer:
        async with asyncio.timeout(WITHIN_S):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            answer = Answer(int(first.split()[1]), dict(line.split(": ", 1) for line in lines if line))
            if answer.headers.get("transfer-encoding") == "chunked":
                answer.message = await self._chunks(answer.headers)
            return answer

    async def _chunks(self, trailers: dict[str, str]) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        while line := (await self.reader.readline()).decode().strip():
            name, value = line.split(": ", 1)
            trailers[name] = value
        assert (body[0], int.from_bytes(body[1:5], "big")) == (0, len(body) - 5)
        return body[5:]

    async def ask(self, data: bytes) -> Answer:
        self.send(data)
        return await self.answer()

    async def ended(self) -> bool:
        """Wait for the other side's end."""
        async with asyncio.timeout(WITHIN_S):
            return await self.reader.read() == b""


class Served:
    """A running listener. unread: messages that could not be read, by their reasons."""

    def __init__(self, listener: Listener, path: Path, opened: list[Client]) -> None:
        self.listener, self.path, self._opened = listener, path, opened

    async def client(self) -> Client:
        client = Client(*await asyncio.open_unix_connection(str(self.path)))
        self._opened.append(client)
        return client


@asynccontextmanager
async def served(handler: Handler, **limits: int) -> AsyncIterator[Served]:
    """A listener whose one method takes and gives bytes; stopped after the block, and its clients closed."""
    opened: list[Client] = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s"
        method = grpc.unary_unary_rpc_method_handler(handler)._replace(
            request_deserializer=bytes, response_serializer=bytes
        )
        listener = Listener(path, {PATH: method}, Unread, MOST)
        for name, value in limits.items():
            setattr(listener, name, value)
        await listener.start()
        try:
            yield Served(listener, path, opened)
        finally:
            await listener.stop(0.0)
            for client in opened:
                client.writer.close()
