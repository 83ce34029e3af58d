"""An action, and storing several at once, for the tests of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from spotify_buddies.serve_app.errors import FeedbackUnavailable
from spotify_buddies.serve_app.store.actions import Feedback, StoredAction
from spotify_buddies.serve_app.store.store import Store, StoreSettings
from tests.waiting import WITHIN_S, until

ACTION = Feedback("rec-1", "user-1", ("b", "a"), ("d", "c"), ("e",), "key-1", "7", "production")

# No limit of the store is met on a busy machine: each is for tests that are about that limit.
PATIENT = StoreSettings(WITHIN_S, seen_s=WITHIN_S, attribution_s=WITHIN_S, load_s=WITHIN_S, flush_s=WITHIN_S)


def run(call: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(call)


async def store_all(url: str, actions: list[Feedback], timeout_s: float = WITHIN_S) -> list[StoredAction]:
    async with opened(url, timeout_s) as store:
        return list(await asyncio.gather(*(store.store(action) for action in actions)))


def opened(url: str, timeout_s: float = WITHIN_S) -> Store:
    return Store(url, replace(PATIENT, timeout_s=timeout_s))


async def stored_at_last(store: Store, action: Feedback) -> int:
    """Send the action, again while the store is too hasty for this machine; its reactions."""

    async def tried() -> int | None:
        try:
            return (await store.store(action)).reactions
        except FeedbackUnavailable:
            return None

    return await until(tried, "the action is stored") or 0
