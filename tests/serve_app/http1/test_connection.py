"""Calls over HTTP/1.1, and what is none: raw bytes to a real listener, on both event loops."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from spotify_buddies.serve_app.http1 import connection
from tests.serve_app.http1.talking import MOST, PATH, Run, echo, framed, request, served
from tests.waiting import until


def test_calls_follow_each_other_on_a_connection(run: Run) -> None:
    async def talk() -> None:
        async with served(echo) as service:
            client = await service.client()
            for message in (b"", b"abc", bytes(MOST)):
                answer = await client.ask(request(message))
                assert (answer.http, answer.message, answer.headers["grpc-status"]) == (200, message, "0")
            assert (answer.headers["content-type"], service.listener.held_bytes) == ("application/grpc", 0)

    run(talk())


@pytest.mark.parametrize("step", [1, 7, 100])
def test_a_request_may_arrive_in_any_pieces(step: int) -> None:
    async def talk() -> None:
        async with served(echo) as service:
            client = await service.client()
            data = request(b"the message", "grpc-timeout: 50S")
            for first in range(0, len(data), step):
                client.send(data[first : first + step])
                await client.writer.drain()
                await asyncio.sleep(0)
            assert (await client.answer()).message == b"the message"
            assert service.listener.held_bytes == 0
            length = f"{PATH} HTTP/1.1\r\ncontent-length: 8\r\n\r\n".encode()
            assert (await client.ask(b"POST " + length + framed(b"abc"))).message == b"abc"

    asyncio.run(talk())


def test_the_handler_sees_the_callers_metadata_and_sets_the_status(run: Run) -> None:
    async def refuse(message: bytes, context: Any) -> bytes:
        assert context.code() is None
        names = [name for name, _ in context.invocation_metadata()]
        context.set_code(grpc.StatusCode.ALREADY_EXISTS)
        context.set_details(f"{dict(context.invocation_metadata())['buddies-caller']}: {names}")
        context.set_trailing_metadata([("grpc-status-details-bin", b"\xff"), ("grpc-retry-pushback-ms", "100")])
        return b"not sent"

    async def talk() -> None:
        async with served(refuse) as service:
            client = await service.client()
            answer = await client.ask(request(b"", "Buddies-Caller: me", "x: 1", "x: 2", "grpc-timeout: 9S"))
            assert (answer.http, answer.status, answer.message) == (200, 6, None)
            assert answer.headers["grpc-message"] == "me: ['buddies-caller', 'x', 'x']"
            assert answer.headers["grpc-status-details-bin"] == "/w"
            assert answer.headers["grpc-retry-pushback-ms"] == "100"
            assert (await client.ask(request(b"", "buddies-caller: me"))).status == 6

    run(talk())


def test_a_handler_that_breaks_is_internal_and_says_nothing_of_itself(run: Run) -> None:
    async def broken(message: bytes, context: Any) -> bytes:
        raise RuntimeError("a secret")

    async def talk() -> None:
        async with served(broken) as service:
            client = await service.client()
            for _ in range(2):
                answer = await client.ask(request())
                assert (answer.status, "secret" in str(answer.headers)) == (13, False)

    run(talk())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "holds no message"),
        (b"\0\0\0", "holds no message"),
        (b"\0\0\0\0\4abc", "another length"),
        (framed(b"abc") + framed(b"def"), "another length"),
        (framed(b"abc", flag=2), "first byte"),
        (framed(bytes(MOST + 1)), "100,001 bytes, at most 100,000 are read"),
    ],
)
def test_a_message_that_cannot_be_read_is_said_to_the_handler(run: Run, body: bytes, reason: str) -> None:
    async def talk() -> None:
        async with served(echo) as service:
            client = await service.client()
            answer = await client.ask(request(body=body))
            assert (answer.status, reason in answer.headers["grpc-message"]) == (3, True)
            assert (await client.ask(request(b"next"))).message == b"next"
            assert service.listener.held_bytes == 0

    run(talk())


def test_a_message_that_is_far_too_large_ends_the_connection(run: Run) -> None:
    async def talk() -> None:
        async with served(echo) as service:
            client = await service.client()
            answer = await client.ask(request(bytes((connection.COUNTED + 1) * MOST)))
            assert (answer.status, answer.headers["connection"]) == (8, "close")
            assert await client.ended()
            assert service.listener.held_bytes == 0

    run(talk())


def test_large_messages_that_arrive_at_once_are_bounded_together(run: Run) -> None:
    async def talk() -> None:
        async with served(echo, most_held_bytes=2 * MOST) as service:
            head, chunk = f"POST {PATH} HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".encode(), bytes(80_000)
            unfinished = head + b"%x\r\n%b" % (MOST, chunk)
            clients = [await service.client() for _ in range(3)]
            for client in clients[:2]:
                client.send(unfinished)
            await until(lambda: service.listener.held_bytes == 160_000, "the parts of two messages")
            clients[2].send(unfinished)
            answer = await clients[2].answer()
            assert (answer.status, await clients[2].ended()) == (8, True)
            clients[0].writer.close()
            await until(lambda: service.listener.held_bytes == 80_000, "the end of one of them")
            assert (await (await service.client()).ask(request(b"abc"))).message == b"abc"

    run(talk())


@pytest.mark.parametrize(
    ("data", "http"),
    [
        (request(path="/other.Service/Call").replace(b"POST", b"GET"), 200),
        (request(method="GET"), 405),
        (request().replace(b"HTTP/1.1", b"HTTP/1.0"), 505),
        (b"\0\1\2 garbage\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (request(b"", "content-length: 5"), 400),
        (request(b"", "content-length: 5", "content-length: 6"), 400),
        (request().replace(b"chunked", b"chunked, identity"), 400),
        (request(b"", "upgrade: h2c", "connection: upgrade"), 400),
        (request(b"", "bad name: 1"), 400),
        (request(b"", "x: a\0b"), 400),
        (request().replace(b"5\r\n", b"5\n", 1), 400),
        (request(b"", f"x: {'v' * 12_300}"), 431),
        (request(b"", *(f"x{number}: 1" for number in range(81))), 431),
        (b"POST " + b"x" * 20_000, 431),
        (b"POST / HTTP/1.1\r\nx: " + b"x" * 20_000, 431),
    ],
)
def test_what_is_no_such_request_is_refused_and_ends_its_connection(run: Run, data: bytes, http: int) -> None:
    async def talk() -> None:
        async with served(echo) as service:
            client, other = await service.client(), await service.client()
            answer = await client.ask(data)
            assert (answer.http, answer.headers["connection"]) == (http, "close")
            assert http != 200 or answer.status == 12
            assert await client.ended()
            assert (await other.ask(request(b"abc"))).message == b"abc"

    run(talk())


def test_trailers_without_an_end_are_refused(run: Run) -> None:
    async def talk() -> None:
        async with served(echo) as service:
            client = await service.client()
            client.send(request(b"abc")[:-2])
            await until(lambda: service.listener.held_bytes > 0, "the message")
            answer = await client.ask(b"x: " + b"x" * 20_000)
            assert (answer.http, await client.ended()) == (431, True)
            assert service.listener.held_bytes == 0

    run(talk())


def test_a_request_before_the_answer_to_the_last_ends_the_connection_and_the_call(run: Run) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def wait(message: bytes, context: Any) -> bytes:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    async def talk() -> None:
        async with served(wait) as service:
            client = await service.client()
            client.send(request())
            await entered.wait()
            client.send(request())
            await asyncio.wait_for(ended.wait(), 60)
            both = await service.client()
            both.send(request() + request())
            for ended_with in (client, both):
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await ended_with.answer()
            await until(lambda: not service.listener._connections, "the end of both connections")

    run(talk())
