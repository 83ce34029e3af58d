"""One leader among schedulers: who holds an advisory lock of Postgres, for as long as the connection lives."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from spotify_buddies.clients.command.endpoints import CONFIGURED, running

# Any numbers that are ours: who leads, and in the two-number form which job runs.
LEADER = 0x62756466
RUNNING = 0x7363
NAME = "buddies schedule"
CONNECT_S = 5
# A Postgres that does not answer within this time is away, and another may lead soon.
ANSWER_S = 5.0
# Both ends notice a peer that has vanished within half a minute; on unix sockets these do nothing.
_OURS: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_THEIRS = "-c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"


class NoPostgres(Exception):
    """No address of Postgres is known."""


@dataclass(frozen=True)
class Leader:
    """Who leads, as Postgres sees it. since: when it connected."""

    name: str
    since: datetime


def me() -> str:
    """This process, for the history."""
    return f"{socket.gethostname()}:{os.getpid()}"


def address(settings: Any) -> str:
    """The configured Postgres, else that of the service that runs in the state directory now. NoPostgres."""
    if settings.postgres_url:
        return str(settings.postgres_url)
    service = running(settings.state_dir)
    if service is None or not service.postgres:
        raise NoPostgres(f"no service runs in {settings.state_dir} and BUDDIES_POSTGRES_URL is not set")
    if service.postgres == CONFIGURED:
        raise NoPostgres("the running service uses a configured Postgres; set BUDDIES_POSTGRES_URL here too")
    return service.postgres


async def connect(settings: Any) -> psycopg.AsyncConnection:
    """A connection in autocommit mode, the caller's to close. psycopg.Error, NoPostgres."""
    url = address(settings)
    own = psycopg.conninfo.conninfo_to_dict(url).get("options") or ""
    return await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=CONNECT_S, application_name=f"{NAME} {me()}",
        options=f"{own} {_THEIRS}".strip(), **_OURS,
    )  # fmt: skip


async def take_lead(connection: psycopg.AsyncConnection) -> bool:
    """Whether this connection leads from now on. psycopg.Error, TimeoutError."""
    return await _locked(connection, "SELECT pg_try_advisory_lock(%s)", LEADER)


async def take_job(connection: psycopg.AsyncConnection, name: str) -> bool:
    """Whether the job is this connection's to run; nobody else runs it until release_job. psycopg.Error."""
    return await _locked(connection, "SELECT pg_try_advisory_lock(%s, hashtext(%s))", RUNNING, name)


async def release_job(connection: psycopg.AsyncConnection, name: str) -> None:
    """Let others run the job. psycopg.Error."""
    await _locked(connection, "SELECT pg_advisory_unlock(%s, hashtext(%s))", RUNNING, name)


async def check(connection: psycopg.AsyncConnection) -> None:
    """Return where Postgres still knows the connection. psycopg.Error: the lead is lost."""
    await connection.execute("SELECT 1")


async def answered(question: Coroutine[Any, Any, None]) -> None:
    """Wait for what is asked of Postgres. TimeoutError: it has not answered in time, and is not waited for any more.

    asyncio.timeout would wait: psycopg takes seconds to give up a question that a frozen server does not answer.
    """
    asked = asyncio.create_task(question)
    try:
        done, _ = await asyncio.wait({asked}, timeout=ANSWER_S)
    finally:
        asked.cancel()
    if not done:
        asked.add_done_callback(_collect)
        raise TimeoutError("Postgres does not answer")
    asked.result()


def _collect(asked: asyncio.Task[None]) -> None:
    if not asked.cancelled():
        asked.exception()


async def who_leads(connection: psycopg.AsyncConnection) -> Leader | None:
    """The scheduler that holds the lock; None: there is none. psycopg.Error."""
    cursor = await connection.execute(
        "SELECT application_name, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = %s AND objsubid = 1"
        " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        (LEADER,),
    )
    row = await cursor.fetchone()
    return None if row is None else Leader(str(row[0]).removeprefix(f"{NAME} "), row[1])


async def _locked(connection: psycopg.AsyncConnection, query: str, *values: object) -> bool:
    async with asyncio.timeout(ANSWER_S):
        row = await (await connection.execute(query.encode(), values)).fetchone()
    return row is not None and bool(row[0])
