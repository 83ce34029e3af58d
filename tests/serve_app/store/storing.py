"""An action, and storing several at once, for the tests of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from spotify_buddies.serve_app.store.actions import Feedback, StoredAction
from spotify_buddies.serve_app.store.store import Store, StoreSettings

ACTION = Feedback("rec-1", "user-1", ("b", "a"), ("d", "c"), ("e",), "key-1", "7", "production")


def run(call: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(call)


async def store_all(url: str, actions: list[Feedback], timeout_s: float = 10.0) -> list[StoredAction]:
    async with opened(url, timeout_s) as store:
        return list(await asyncio.gather(*(store.store(action) for action in actions)))


def opened(url: str, timeout_s: float) -> Store:
    return Store(url, StoreSettings(timeout_s=timeout_s))
