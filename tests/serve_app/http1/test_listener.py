"""The listener's begin and end: who may connect, and what becomes of the calls in flight."""

from __future__ import annotations

import asyncio
import stat
from typing import Any

import pytest

from tests.serve_app.http1.talking import Run, request, served
from tests.waiting import until


class Held:
    """A handler that answers when it is told to."""

    def __init__(self) -> None:
        self.entered, self.go = asyncio.Event(), asyncio.Event()
        self.cancelled = False

    async def __call__(self, message: bytes, context: Any) -> bytes:
        self.entered.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return message


def test_a_stop_answers_the_calls_in_flight_and_takes_no_more(run: Run) -> None:
    async def talk() -> None:
        held = Held()
        async with served(held) as service:
            busy, idle = await service.client(), await service.client()
            busy.send(request(b"abc"))
            await held.entered.wait()
            await until(lambda: len(service.listener._connections) == 2, "both connections")
            stopping = asyncio.create_task(service.listener.stop(60.0))
            assert await idle.ended()
            with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
                await service.client()
            assert not stopping.done()
            held.go.set()
            answer = await busy.answer()
            assert (answer.message, answer.headers["connection"]) == (b"abc", "close")
            assert await busy.ended()
            busy.writer.close()
            await stopping
            assert not service.path.exists()

    run(talk())


def test_a_stop_lets_a_large_answer_arrive_in_whole(run: Run) -> None:
    async def large(message: bytes, context: Any) -> bytes:
        return bytes(20_000_000)

    async def talk() -> None:
        async with served(large) as service:
            client = await service.client()
            client.send(request())
            first = await client.reader.readexactly(1)
            stopping = asyncio.create_task(service.listener.stop(60.0))
            await until(lambda: service.listener.closing, "the begin of the stop")
            assert len(first + await client.reader.read()) > 20_000_000
            client.writer.close()
            await stopping

    run(talk())


@pytest.mark.parametrize("grace_s", [None, 0.0, 0.05])
def test_calls_that_take_longer_are_cancelled(run: Run, grace_s: float | None) -> None:
    async def talk() -> None:
        held = Held()
        async with served(held) as service:
            client = await service.client()
            client.send(request())
            await held.entered.wait()
            await service.listener.stop(grace_s)
            await until(lambda: held.cancelled, "the end of the call")

    run(talk())


def test_health_is_answered_and_the_socket_is_that_of_this_user_alone(run: Run) -> None:
    async def talk() -> None:
        async with served(Held()) as service:
            client = await service.client()
            client.send(b"GET /-/healthz HTTP/1.0\r\n\r\n")
            assert (await client.answer()).http == 200
            assert await client.ended()
            assert stat.S_IMODE(service.path.stat().st_mode) == 0o600

    run(talk())


def test_a_socket_that_a_dead_replica_has_left_is_no_obstacle() -> None:
    async def talk() -> None:
        held = Held()
        held.go.set()
        async with served(held) as service:
            service.listener._server.close()
            service.path.touch()
            await service.listener.start()
            assert (await (await service.client()).ask(request(b"abc"))).message == b"abc"

    asyncio.run(talk())


def test_a_listener_that_never_began_stops_at_once() -> None:
    async def talk() -> None:
        async with served(Held()) as service:
            await service.listener.stop(None)
            await service.listener.stop(None)

    asyncio.run(talk())
