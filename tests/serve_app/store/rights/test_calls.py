"""ExportUser and EraseUser over the wire, on a real server with real stores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from spotify_buddies.serve_app.api import rights
from spotify_buddies.serve_app.baseline.server import serve_plain
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from tests.serve_app.store.rights.planted import ID, KEY, Planted, in_files, in_postgres, in_redis
from tests.waiting import WITHIN_S


@asynccontextmanager
async def served(planted: Planted, bundle_dir: Path, **settings: Any) -> AsyncIterator[Any]:
    places = planted.places
    services = Services(places.postgres_url, places.redis_url, erasure_key=KEY, state_dir=places.state_dir)
    wanted = ServeSettings(grpc_port=0, feedback_timeout_s=WITHIN_S, store_budget_ms=5_000, **settings)
    async with serve_plain(wanted, bundle_dir, "7", services) as address, grpc.aio.insecure_channel(address) as channel:
        yield RecommenderServiceStub(channel)


async def exported(stub: Any, user_id: str = ID) -> tuple[list[int], bytes]:
    parts = [one.part async for one in stub.ExportUser(pb.ExportUserRequest(user_id=user_id), timeout=WITHIN_S)]
    return [len(part) for part in parts], b"".join(parts)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), str(error.value.details())


def test_an_operator_exports_and_erases_over_the_wire(
    planted: Planted, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "PART_BYTES", 300)

    async def check() -> None:
        async with served(planted, bundle_dir, user_rights=True) as stub:
            sizes, document = await exported(stub)
            assert len(sizes) > 3
            assert set(sizes[:-1]) == {300}
            assert len(json.loads(document)["rows"]["impressions"]) == 4
            receipt = await stub.EraseUser(pb.EraseUserRequest(user_id=ID), timeout=WITHIN_S)
            assert list(receipt.left) == []
            assert len(receipt.confirmed) == 1
            assert {row.place: row.rows for row in receipt.rows}["postgres/impressions"] == 4
            (found,) = (
                await stub.Recommend(pb.RecommendRequest(user_ids=[ID], mode=pb.MODE_DAILY), timeout=WITHIN_S)
            ).recommendations
            assert found.source == pb.SOURCE_POPULAR
            _, document = await exported(stub)
            assert json.loads(document)["rows"] == {}

    asyncio.run(check())
    assert in_redis(planted.redis, ID) == []
    assert planted.places.state_dir is not None
    assert in_files(planted.places.state_dir, ID) == []


def test_without_the_setting_both_calls_are_refused_and_say_what_to_do(planted: Planted, bundle_dir: Path) -> None:
    async def check() -> None:
        async with served(planted, bundle_dir) as stub:
            for call in (stub.EraseUser(pb.EraseUserRequest(user_id=ID), timeout=WITHIN_S), exported(stub)):
                code, message = await refused(call)
                assert code is grpc.StatusCode.PERMISSION_DENIED
                assert "serve.user_rights = true" in message

    asyncio.run(check())
    assert in_postgres(planted.places.postgres_url, ID) != []


def test_what_is_no_id_is_refused_by_its_field(planted: Planted, bundle_dir: Path) -> None:
    async def check() -> None:
        async with served(planted, bundle_dir, user_rights=True) as stub:
            for call in (stub.EraseUser(pb.EraseUserRequest(), timeout=WITHIN_S), exported(stub, "a\nb")):
                code, message = await refused(call)
                assert code is grpc.StatusCode.INVALID_ARGUMENT
                assert message.startswith("user_id: ")

    asyncio.run(check())
