"""The lists that seen.py asks for, made inside Postgres; how they are made says its docstring."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
from psycopg.conninfo import make_conninfo

DAYS = 90
PLAYLISTS, CANDIDATES = 100_000, 75
LISTS_EACH = 100
# Rows of one INSERT.
STEP = 200_000


def fill(url: str, rows: int) -> str:
    """Address of a database with so many lists shown; one that is there is taken as it is."""
    name = f"seen_{rows}_{datetime.now(UTC):%Y%m%d}"
    database = make_conninfo(url, dbname=name)
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            return database
        connection.execute(f"DROP DATABASE IF EXISTS {name}_filling".encode())
        connection.execute(f"CREATE DATABASE {name}_filling".encode())
    filling = make_conninfo(url, dbname=f"{name}_filling")
    asyncio.run(make_weeks(filling))
    with psycopg.connect(filling, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        for first in range(1, rows + 1, STEP):
            for statement in statements(rows, first, min(rows, first + STEP - 1)):
                connection.execute(statement.encode())
            print(f"\r{first + STEP - 1:,} of {rows:,} lists made", end="", file=sys.stderr, flush=True)
        for statement in ("VACUUM ANALYZE", "CHECKPOINT", "CREATE EXTENSION pageinspect"):
            connection.execute(statement)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name}_filling RENAME TO {name}".encode())
    return database


async def make_weeks(url: str) -> None:
    """The tables, and a partition for each of the weeks: a row in each makes the upkeep create it."""
    from spotify_buddies.serve_app.store.database.connections import connect
    from spotify_buddies.serve_app.store.database.maintain import Retention, maintain
    from spotify_buddies.serve_app.store.database.migrate import migrate

    days = f"FROM generate_series(0, {DAYS}) AS day"
    at = "now() - day * interval '1 day'"
    async with await connect(url, connect_s=10.0) as connection:
        await migrate(connection)
        await connection.execute(f"INSERT INTO impressions SELECT {at}, '', '', '{{}}', '', '', '' {days}".encode())
        await connection.execute(f"INSERT INTO reactions SELECT {at}, 0, '', '', '', 0, '', '' {days}".encode())
        await maintain(connection, Retention(DAYS + 7, DAYS + 7))
        for table in ("impressions", "reactions"):
            await connection.execute(f"DELETE FROM {table}".encode())


def statements(rows: int, first: int, last: int) -> Iterator[str]:
    """What makes the lists with the numbers first to last, and their likes."""
    at = f"now() - interval '{DAYS} days' * (1 - n / {rows}.0::float8)"
    who = f"floor({rows // LISTS_EACH} * power({_number(0)} / 2.0 ^ 53, 1.5))::bigint"
    playlists = [
        f"'playlist-' || ((who * 7919 + {_number(seed)} % {CANDIDATES}) % {PLAYLISTS})" for seed in range(1, 11)
    ]
    # OFFSET 0: the user is drawn once for a row, not wherever it is named.
    drawn = f"(SELECT n, {who} AS who FROM generate_series({first}::bigint, {last}, %s) AS n OFFSET 0) AS drawn"
    yield (
        f"INSERT INTO impressions SELECT {at}, 'rec-' || md5(n::text), md5(who::text),"
        f" ARRAY[{', '.join(playlists)}], '0123456789ab', 'production', 'live' FROM {drawn.replace('%s', '1')}"
    )
    yield (
        f"INSERT INTO reactions SELECT {at}, n, 'rec-' || md5(n::text), md5(who::text), {playlists[0]}, 1,"
        f" '0123456789ab', 'production' FROM {drawn.replace('%s', '5')}"
    )


def _number(seed: int) -> str:
    """A number below 2 ** 53 that looks drawn, the same for a row in every statement."""
    return f"(hashint8extended(n, {seed}) & {2**53 - 1})"


def lay_in_order(database: str) -> None:
    """What the store's upkeep does with a week that is over; the weeks here were empty when it came by."""
    weeks = (
        "SELECT indrelid::regclass::text, indexrelid::regclass::text FROM pg_inherits JOIN pg_index ON indexrelid ="
        " inhrelid WHERE inhparent IN ('impressions_user'::regclass, 'reactions_user'::regclass)"
    )
    with psycopg.connect(database, autocommit=True) as connection:
        for week, index in connection.execute(weeks).fetchall():
            connection.execute(f"CLUSTER {week} USING {index}".encode())
            connection.execute(f"ANALYZE {week}".encode())


def depth(database: str) -> str:
    """How deep the indexes are: levels above the leaves, of the largest week."""
    with psycopg.connect(database) as connection:
        level, tuples, size = connection.execute(
            "SELECT (bt_metap(indexes.relname)).level, tables.reltuples::bigint, pg_relation_size(indexrelid)"
            " FROM pg_inherits JOIN pg_class AS tables ON tables.oid = inhrelid JOIN pg_index ON indrelid = inhrelid"
            " JOIN pg_class AS indexes ON indexes.oid = indexrelid WHERE inhparent = 'impressions'::regclass"
            " ORDER BY 2 DESC LIMIT 1"
        ).fetchone() or (0, 0, 0)
        whole = connection.execute("SELECT pg_size_pretty(pg_database_size(current_database()))").fetchone() or ("",)
    return (
        f"{level + 1} pages of the index of a week ({tuples:,} lists, {size / 2**20:,.0f} MiB) are read to find a"
        f" user; all of it {whole[0]}"
    )
