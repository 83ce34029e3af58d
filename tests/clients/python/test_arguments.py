"""Arguments that Python would take apart in silence are errors that say what to pass, of both clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spotify_buddies.clients.python import AsyncClient, Client, Song, Taste
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import serving
from tests.clients.python.answers import ANSWER

SONG = Song("Hurt", "Johnny Cash")
WRONG = [
    ("recommend", {"user_ids": "ada"}, r"user_ids takes a list of strings, and got one alone; pass \['ada'\]"),
    ("recommend", {"user_ids": 7}, "user_ids takes a list of strings, and got 7"),
    ("recommend", {"user_ids": ["ada", 7]}, r"user_ids\[1\] is 7 \(int\); user_ids takes strings"),
    ("recommend", {"user_ids": [None]}, r"user_ids\[0\] is None"),
    ("recommend", {"exclude_playlist_ids": "p1"}, r"pass \['p1'\]"),
    ("recommend", {"tastes": Taste([SONG])}, r"pass \[Taste\("),
    ("recommend", {"tastes": [Taste("Hurt")]}, "songs of a Taste takes a list of Songs, and got 'Hurt'"),  # type: ignore[arg-type]
    ("recommend", {"tastes": [Taste(SONG)]}, r"songs of a Taste .* pass \[Song\("),  # type: ignore[arg-type]
    ("feedback", {"recommendation": "r", "user_id": "ada", "liked": "p1"}, r"liked .* pass \['p1'\]"),
    ("feedback", {"recommendation": "r", "user_id": "ada", "ignored": [5]}, r"ignored\[0\] is 5"),
    ("feedback", {"recommendation": "r", "user_id": "ada", "disliked": 5}, "disliked takes a list of strings"),
    ("feedback", {"recommendation": 5, "user_id": "ada"}, r"recommendation is 5 \(int\); ids are strings"),
    ("feedback", {"recommendation": "r", "user_id": 5}, r"user_id is 5 \(int\); ids are strings"),
]


@pytest.mark.parametrize(("method", "arguments", "said"), WRONG)
def test_one_string_and_numbers_where_a_list_of_ids_belongs_are_errors_and_nothing_is_sent(
    method: str, arguments: dict[str, Any], said: str
) -> None:
    calls: list[object] = []

    def answer(request: object, context: object) -> pb.RecommendResponse:
        calls.append(request)
        return pb.RecommendResponse()

    async def use(address: str) -> None:
        async with AsyncClient(address) as client:
            await getattr(client, method)(**arguments)

    with serving(Recommend=answer, Feedback=answer) as address:
        with Client(address) as client, pytest.raises(TypeError, match=said):
            getattr(client, method)(**arguments)
        with pytest.raises(TypeError, match=said):
            asyncio.run(use(address))
    assert calls == []


def test_one_string_for_a_stream_is_an_error_too() -> None:
    async def use() -> None:
        async with AsyncClient("127.0.0.1:1") as client:
            await anext(client.recommend_stream("ada"))

    with Client("127.0.0.1:1") as client, pytest.raises(TypeError, match="user_ids"):
        next(client.recommend_stream("ada"))
    with pytest.raises(TypeError, match="user_ids"):
        asyncio.run(use())


def test_ids_from_a_generator_and_none_at_all_are_lists() -> None:
    seen: list[pb.RecommendRequest] = []

    def answer(request: pb.RecommendRequest, context: object) -> pb.RecommendResponse:
        seen.append(request)
        return ANSWER

    with serving(Recommend=answer) as address, Client(address) as client:
        client.recommend(name for name in ("ada", "bob"))  # type: ignore[arg-type]
        client.recommend((), tastes=(Taste((SONG,)),))
    assert [list(request.user_ids) for request in seen] == [["ada", "bob"], []]


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("http://localhost:9000", ValueError, "is a URL .*; a gRPC address is host:port, such as 'localhost:9000'"),
        ("https://buddies.example/api", ValueError, "as 'buddies.example'"),
        ("grpc://localhost:9000", ValueError, "as 'localhost:9000'"),
        ("  ", ValueError, "is empty"),
        (9000, TypeError, r"the address is 9000 \(int\); a gRPC address is host:port as text"),
        (None, TypeError, "is None"),
    ],
)
def test_an_address_that_is_no_grpc_address_is_an_error_before_any_call(
    address: Any, error: type[Exception], said: str
) -> None:
    async def use() -> None:
        AsyncClient(address)

    with pytest.raises(error, match=said):
        Client(address)
    with pytest.raises(error, match=said):
        asyncio.run(use())


@pytest.mark.parametrize(
    "address", ["localhost:9000", "[::1]:9000", "dns:///buddies.example:9000", "unix:///run/b.sock"]
)
def test_addresses_that_grpc_knows_are_taken(address: str) -> None:
    Client(address).close()
