"""A few Postgres connections, made on demand and kept for the next caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

# A peer that has vanished is noticed by the kernel within about 20 s; on unix sockets these do nothing.
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def parameters(url: str, connect_s: float, statement_s: float | None) -> dict[str, Any]:
    """Parameters of every connection. statement_s: after that the server ends statements and waits for locks."""
    made_with: dict[str, Any] = {**KEEPALIVE, "autocommit": True, "connect_timeout": max(2, round(connect_s))}
    if statement_s is not None:
        milliseconds = max(1, round(statement_s * 1000))
        made_with["options"] = _options(url, f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}")
    return made_with


def with_options(url: str, options: str) -> str:
    """The address with options of the server beside its own, as "-c jit=off"."""
    return make_conninfo(url, options=_options(url, options))


def _options(url: str, options: str) -> str:
    # An argument replaces what the address says, so the user's own options go in front.
    own = conninfo_to_dict(url).get("options") or ""
    return f"{own} {options}".strip()


async def connect(url: str, *, connect_s: float, statement_s: float | None = None) -> psycopg.AsyncConnection:
    """A connection in autocommit mode, the caller's to close. psycopg.OperationalError when none can be made."""
    try:
        return await psycopg.AsyncConnection.connect(url, **parameters(url, connect_s, statement_s))
    except UnicodeError as error:
        # Python cannot encode a host such as a..b: no server will answer there, and callers expect that of any.
        raise psycopg.OperationalError("a host of the address is no name") from error


class Connections:
    """At most `most` connections in autocommit mode; make it inside the running event loop.

    Statements and locks end after timeout_s on the server too, so that an abandoned one does not hold its rows.
    """

    def __init__(self, url: str, timeout_s: float, most: int) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(most)
        self._idle: list[psycopg.AsyncConnection] = []

    @asynccontextmanager
    async def take(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Lend a connection; one whose block raised is closed. psycopg.OperationalError when none can be made."""
        async with self._slots:
            connection = self._idle.pop() if self._idle else await self._connect()
            kept = False
            try:
                yield connection
                kept = True
            finally:
                if kept:
                    self._idle.append(connection)
                else:
                    await connection.close()

    async def close_idle(self) -> None:
        """Close what is kept, so that the next caller gets a new connection."""
        dropped, self._idle = self._idle, []
        for connection in dropped:
            await connection.close()

    async def _connect(self) -> psycopg.AsyncConnection:
        return await connect(self._url, connect_s=self._timeout_s, statement_s=self._timeout_s)
