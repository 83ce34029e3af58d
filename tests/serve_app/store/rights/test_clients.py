"""The Python clients' export and erasure, on a real server with real stores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.clients.python import AccessDenied, AsyncClient, Client, InvalidRequest, Source
from spotify_buddies.foundation.text.pseudonym import pseudonym
from spotify_buddies.serve_app.api import rights
from spotify_buddies.serve_app.baseline.server import serve_plain
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from tests.serve_app.store.rights.planted import ID, KEY, OTHER, Planted, in_files, in_postgres, in_redis
from tests.waiting import WITHIN_S


@asynccontextmanager
async def served(planted: Planted, bundle_dir: Path, **settings: Any) -> AsyncIterator[str]:
    places = planted.places
    services = Services(places.postgres_url, places.redis_url, erasure_key=KEY, state_dir=places.state_dir)
    wanted = ServeSettings(grpc_port=0, feedback_timeout_s=WITHIN_S, store_budget_ms=5_000, **settings)
    async with serve_plain(wanted, bundle_dir, "7", services) as address:
        yield address


def test_both_clients_export_a_document_and_erase_with_a_receipt(
    planted: Planted, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "PART_BYTES", 300)

    def synchronous(address: str) -> None:
        with Client(address, timeout_s=WITHIN_S) as client:
            parts = list(client.export_user(ID, timeout_s=WITHIN_S))
            assert set(map(len, parts[:-1])) == {300}
            assert len(json.loads(b"".join(parts))["rows"]["impressions"]) == 4
            receipt = client.erase_user(ID, timeout_s=WITHIN_S)
            assert (receipt.complete, receipt.left, len(receipt.confirmed)) == (True, (), 1)
            assert receipt.listener == pseudonym(KEY, ID).hex()
            assert timedelta() <= datetime.now(UTC) - receipt.erased_at < timedelta(seconds=2 * WITHIN_S)
            assert receipt.rows["postgres/impressions"] == 4
            assert json.loads(b"".join(client.export_user(ID, timeout_s=WITHIN_S)))["rows"] == {}
            (found,) = client.recommend([ID])
            assert found.source is Source.POPULAR

    async def asynchronous(address: str) -> None:
        async with AsyncClient(address, timeout_s=WITHIN_S) as client:
            document = b"".join([part async for part in client.export_user(OTHER, timeout_s=WITHIN_S)])
            assert json.loads(document)["rows"] != {}
            receipt = await client.erase_user(OTHER, timeout_s=WITHIN_S)
            assert receipt.complete
            assert receipt.listener == pseudonym(KEY, OTHER).hex()
            again = await client.erase_user(OTHER, timeout_s=WITHIN_S)
            assert (again.complete, again.rows.get("postgres/impressions", 0)) == (True, 0)

    async def check() -> None:
        async with served(planted, bundle_dir, user_rights=True) as address:
            await asyncio.to_thread(synchronous, address)
            assert await asyncio.to_thread(in_postgres, planted.places.postgres_url, OTHER) != []
            await asynchronous(address)

    asyncio.run(check())
    assert planted.places.state_dir is not None
    for user in (ID, OTHER):
        assert in_postgres(planted.places.postgres_url, user) == in_redis(planted.redis, user) == []
        assert in_files(planted.places.state_dir, user) == []


def test_who_may_not_is_told_and_nothing_is_erased(planted: Planted, bundle_dir: Path) -> None:
    def synchronous(address: str) -> None:
        with Client(address, timeout_s=WITHIN_S) as client:
            with pytest.raises(AccessDenied, match="user_rights"):
                client.erase_user(ID)
            with pytest.raises(AccessDenied, match="user_rights"):
                list(client.export_user(ID))

    async def check() -> None:
        async with served(planted, bundle_dir) as address:
            await asyncio.to_thread(synchronous, address)
            async with AsyncClient(address, timeout_s=WITHIN_S) as client:
                with pytest.raises(AccessDenied):
                    await client.erase_user(ID)
                with pytest.raises(AccessDenied):
                    await anext(client.export_user(ID))

    asyncio.run(check())
    assert in_postgres(planted.places.postgres_url, ID) != []


def test_what_is_no_id_is_refused_by_its_field(planted: Planted, bundle_dir: Path) -> None:
    def synchronous(address: str) -> None:
        with Client(address, timeout_s=WITHIN_S) as client:
            for call in (lambda: client.erase_user(""), lambda: list(client.export_user("a\nb"))):
                with pytest.raises(InvalidRequest) as error:
                    call()
                assert [violation.field for violation in error.value.violations] == ["user_id"]
            with pytest.raises(InvalidRequest, match="not UTF-8"):
                client.erase_user("\ud800")
            with pytest.raises(TypeError):
                client.erase_user(7)  # type: ignore[arg-type]

    async def check() -> None:
        async with served(planted, bundle_dir, user_rights=True) as address:
            await asyncio.to_thread(synchronous, address)

    asyncio.run(check())
