"""How calls end early, and how large answers reach who reads them and who does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spotify_buddies.serve_app.http1 import connection
from tests.serve_app.http1.talking import Run, echo, request, served
from tests.waiting import until


def test_large_answers_follow_each_other_however_they_are_read(run: Run) -> None:
    async def enlarge(message: bytes, context: Any) -> bytes:
        return message * 1_000

    async def talk() -> None:
        async with served(enlarge) as service:
            clients = [await service.client() for _ in range(3)]
            for size in (1, 100, 200, 1_000, 5_000):
                for _ in range(5):
                    for number, client in enumerate(clients):
                        client.send(request(bytes([number]) * size))
                    for number, client in enumerate(clients):
                        assert (await client.answer()).message == bytes([number]) * (size * 1_000)

    run(talk())


def test_a_caller_who_leaves_in_a_large_answer_harms_nobody(run: Run) -> None:
    async def enlarge(message: bytes, context: Any) -> bytes:
        return message * 10_000_000

    async def talk() -> None:
        async with served(enlarge) as service:
            client = await service.client()
            for _ in range(3):
                left = await service.client()
                left.send(request(b"a"))
                await left.reader.readexactly(1)
                left.writer.transport.abort()
            assert (await client.ask(request(b"b"))).message == b"b" * 10_000_000
            await until(lambda: len(service.listener._connections) == 1, "the end of the others")

    run(talk())


def test_the_callers_deadline_ends_the_call_and_not_the_connection(run: Run) -> None:
    cancelled = []

    async def slow(message: bytes, context: Any) -> bytes:
        if message == b"wait":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(message)
                raise
        return message

    async def talk() -> None:
        async with served(slow) as service:
            client = await service.client()
            answer = await client.ask(request(b"wait", "grpc-timeout: 20m"))
            assert (answer.status, answer.headers["grpc-message"], cancelled) == (4, "Deadline Exceeded", [b"wait"])
            assert (await client.ask(request(b"next", "grpc-timeout: 50S"))).message == b"next"

    run(talk())


def test_a_request_that_does_not_come_to_its_end_is_ended(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LONGEST_S", 0.02)

    async def talk() -> None:
        async with served(echo) as service:
            half = request(b"abc", "grpc-timeout: 20m")[:-8]
            client = await service.client()
            answer = await client.ask(half)
            assert (answer.status, await client.ended()) == (4, True)
            client = await service.client()
            assert (await client.ask(half[:40])).http == 400
            assert await client.ended()
            assert service.listener.held_bytes == 0

    run(talk())


def test_a_caller_who_leaves_cancels_the_call(run: Run) -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(message: bytes, context: Any) -> bytes:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return b""

    async def talk() -> None:
        async with served(wait) as service:
            client = await service.client()
            client.send(request())
            await asyncio.wait_for(entered.wait(), 60)
            client.writer.close()
            await asyncio.wait_for(cancelled.wait(), 60)

    run(talk())
