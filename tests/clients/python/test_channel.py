"""Proxies and deadlines of the clients' channels."""

from __future__ import annotations

import asyncio
import math

import pytest

from spotify_buddies.clients.python import AsyncClient, Client
from spotify_buddies.clients.python.channel import deadline_s, is_local
from tests.clients.buddies_process import buddies
from tests.clients.grpc_server import serving
from tests.clients.python.answers import ANSWER

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, NOBODY)
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "ipv4:127.0.0.1", "dns:///localhost"])
def test_calls_to_this_machine_do_not_go_through_a_proxy(host: str) -> None:
    async def ask(address: str) -> int:
        async with AsyncClient(address) as client:
            return len(await client.recommend(["ada"]))

    with serving(Recommend=lambda request, context: ANSWER) as served:
        address = served.replace("127.0.0.1", host)
        with Client(address) as client:
            assert len(client.recommend(["ada"])) == 1
        assert asyncio.run(ask(address)) == 1


def test_the_command_asks_this_machine_without_a_proxy(tmp_path) -> None:
    with serving(Recommend=lambda request, context: ANSWER) as served:
        done = buddies(
            "recommend", "ada", "--json", "--address", served, cwd=tmp_path, http_proxy=NOBODY, no_proxy="", NO_PROXY=""
        )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:9000", True),
        ("127.8.9.1:9000", True),
        ("[::1]:9000", True),
        ("::1", True),
        ("[::ffff:127.0.0.1]:9000", True),
        ("LocalHost.:9000", True),
        ("me.localhost:9000", True),
        ("0.0.0.0:9000", True),
        ("unix:/run/b.sock", True),
        ("unix:///run/b.sock", True),
        ("unix-abstract:b", True),
        ("dns:localhost:9000", True),
        ("ipv6:[::1]:9000", True),
        ("ipv4:127.0.0.1:1,10.0.0.1:2", False),
        ("10.0.0.1:9000", False),
        ("127.0.0.1.example:9000", False),
        ("localhost.example:9000", False),
        ("dns://8.8.8.8/buddies.example:443", False),
        ("[2001:db8::1]:9000", False),
        ("", False),
    ],
)
def test_an_address_is_local_where_every_place_is(address: str, *, local: bool) -> None:
    assert is_local(address) is local


def test_an_infinite_timeout_is_no_deadline() -> None:
    left: list[float | None] = []

    def answer(request, context):
        left.append(context.time_remaining())
        return ANSWER

    async def ask(address: str) -> None:
        async with AsyncClient(address, timeout_s=math.inf) as client:
            await client.recommend(["ada"])
            await client.recommend(["ada"], timeout_s=1e300)

    with serving(Recommend=answer) as served:
        with Client(served, timeout_s=math.inf) as client:
            client.recommend(["ada"])
            client.recommend(["ada"], timeout_s=math.inf)
            client.recommend(["ada"], timeout_s=7.0)
        asyncio.run(ask(served))
    bounded = [one for one in left if one is not None and one < 10]
    assert len(left) == 5
    assert len(bounded) == 1


def test_a_stream_may_last_for_ever_too() -> None:
    from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

    def answer(request, context):
        yield pb.RecommendStreamResponse(recommendations=ANSWER.recommendations)

    with serving(RecommendStream=answer) as served, Client(served) as client:
        assert len(list(client.recommend_stream(["ada"], timeout_s=math.inf))) == 1


@pytest.mark.parametrize("wrong", [math.nan, -1.0, -math.inf])
def test_a_timeout_that_is_no_time_is_refused(wrong: float) -> None:
    async def ask(**options: float) -> None:
        async with AsyncClient("127.0.0.1:1", **options) as client:
            await client.recommend(["ada"], timeout_s=wrong)

    for refused in (
        lambda: Client("127.0.0.1:1", timeout_s=wrong),
        lambda: Client("127.0.0.1:1").recommend(["ada"], timeout_s=wrong),
        lambda: list(Client("127.0.0.1:1").recommend_stream(["ada"], timeout_s=wrong)),
        lambda: asyncio.run(ask()),
        lambda: asyncio.run(ask(timeout_s=wrong)),
    ):
        with pytest.raises(ValueError, match="timeout_s must be 0 or more seconds, or infinity"):
            refused()


def test_only_infinity_and_what_is_like_it_is_no_deadline() -> None:
    assert [deadline_s(timeout_s) for timeout_s in (0.0, 2.5, 1e9, 1e300, math.inf)] == [0.0, 2.5, 1e9, None, None]
