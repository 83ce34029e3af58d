"""Following something in Postgres over one connection, for as long as a process lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

import psycopg

from spotify_buddies.serve_app.store.database.schema import Schema

# The first wait before it connects again, and the longest; a connection that lasted longer begins with the first.
RECONNECT_S = (0.1, 2.0)


async def follow_always(
    schema: Schema, follow: Callable[[], Awaitable[None]], lost: Callable[[Exception], None]
) -> NoReturn:
    """Follow, and again whenever that ends; runs until it is cancelled.

    follow: connects, and returns or raises when the connection is lost. lost: is told of each failure, before the wait.
    """
    wait_s = RECONNECT_S[0]
    while True:
        started = time.monotonic()
        try:
            await schema.ready()
            await follow()
        except (psycopg.Error, OSError, TimeoutError) as error:
            lost(error)
        if time.monotonic() - started > RECONNECT_S[1]:
            wait_s = RECONNECT_S[0]
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, RECONNECT_S[1])
