"""A listener's rows in Postgres: read in one snapshot, erased in one transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from spotify_buddies.serve_app.store.database.connections import parameters
from spotify_buddies.serve_app.store.rights.locks import CHANNEL, IMPRESSIONS, LISTENERS

CONNECT_S = 5.0
# Longest wait for a lock (the upkeep sorts a week in seconds), and for one statement.
LOCK_S = 30
STATEMENT_S = 600
# Times that an erasure begins again because others changed the same rows, or a week was attached.
TRIES = 5
PAUSE_S = 0.2
# Written last, since its lock keeps every replica's impressions waiting.
LAST = "impressions"
_BATCH = 1_000
_AGAIN = (
    psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.errors.LockNotAvailable,
    psycopg.errors.UndefinedTable, psycopg.errors.CheckViolation,
)  # fmt: skip

# Every table of ours with a listener in it, those of releases to come among them; a partitioned one stands for its
# partitions.
_TABLES = """
SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
  AND attname = 'user_id' AND NOT attisdropped
ORDER BY relname
"""
# The keys of a listener's actions: a key's row has the moment and the id of its action's rows.
_KEYS = """
SELECT DISTINCT at, feedback_id FROM reactions WHERE user_id = %(who)s
UNION SELECT at, feedback_id FROM wishes WHERE user_id = %(who)s
"""
_READ_KEYS = f"""
SELECT to_jsonb(feedback)::text FROM feedback JOIN ({_KEYS}) AS mine ON feedback.at = mine.at AND id = feedback_id
ORDER BY feedback.at
"""  # noqa: S608 - constants of this module
_ERASE_KEYS = f"""
WITH gone AS (
  DELETE FROM feedback USING ({_KEYS}) AS mine WHERE feedback.at = mine.at AND id = feedback_id
  RETURNING caller, idempotency_key, feedback.at
), kept AS (
  INSERT INTO erased_keys (hash, at)
  SELECT DISTINCT ON (1) sha256(convert_to(caller || chr(1) || idempotency_key, 'UTF8')), at FROM gone
  ON CONFLICT (hash) DO NOTHING
)
SELECT count(*) FROM gone
"""  # noqa: S608
_NOTE = """
WITH former AS (DELETE FROM erasures WHERE listener = %(listener)s)
SELECT nextval('blocks_changes')
"""
_INSERT = """
INSERT INTO erasures (listener, key, at, change) VALUES (%(listener)s, %(key)s, clock_timestamp(), %(change)s)
RETURNING number, at
"""


@dataclass(frozen=True)
class Erasure:
    """One that is committed. rows: how many were deleted, by table."""

    number: int
    at: datetime
    rows: Mapping[str, int]


def read_rows(url: str, user_id: str) -> Iterator[tuple[str, str]]:
    """Table and row as JSON text, table by table, oldest first where rows have a time; bytes are hexadecimal.

    feedback: the keys of the actions. psycopg.Error.
    """
    with psycopg.connect(url, **parameters(url, CONNECT_S, STATEMENT_S)) as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        tables = [name for (name,) in connection.execute(_TABLES).fetchall()]
        if "feedback" not in _all_tables(connection):
            return
        queries = {
            "feedback": sql.Composed([sql.SQL(_READ_KEYS)]),
            **{name: _read(connection, name) for name in tables},
        }
        for name, query in queries.items():
            with connection.cursor(name="rights") as cursor:
                cursor.itersize = _BATCH
                for (row,) in cursor.execute(query, {"who": user_id}):
                    yield name, row


def erase_rows(url: str, user_id: str, listener: bytes, key: bytes) -> Erasure:
    """Delete all rows of a listener and note the erasure; all or nothing.

    listener: the pseudonym that is kept. key: the name of its key. Feedback of this listener waits meanwhile, and then
    begins a new history. Safe to repeat. psycopg.Error: nothing is deleted, unless the connection was lost at the end.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return _erase(url, user_id, listener, key)
        except _AGAIN:
            if attempt == TRIES:
                raise
            time.sleep(PAUSE_S * attempt)
    raise AssertionError("unreachable")


def _erase(url: str, user_id: str, listener: bytes, key: bytes) -> Erasure:
    rows: dict[str, int] = {}
    with psycopg.connect(url, **parameters(url, CONNECT_S, STATEMENT_S)) as connection, connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_S}s'".encode())
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (LISTENERS, user_id))
        ((rows["feedback"],),) = connection.execute(_ERASE_KEYS.encode(), {"who": user_id}).fetchall()
        tables = [name for (name,) in connection.execute(_TABLES).fetchall()]
        for name in sorted(tables, key=lambda name: (name == LAST, name)):
            if name == LAST:
                connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (IMPRESSIONS,))
            query = sql.SQL("DELETE FROM {} WHERE user_id = %s").format(sql.Identifier(name))
            rows[name] = connection.execute(query, (user_id,)).rowcount
        values = {"listener": listener, "key": key}
        ((change,),) = connection.execute(_NOTE, values).fetchall()
        ((number, at),) = connection.execute(_INSERT, {**values, "change": change}).fetchall()
        told = json.dumps({"number": number, "change": change, "user_id": user_id})
        connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, told))
    return Erasure(number, at, rows)


def _read(connection: psycopg.Connection, table: str) -> sql.Composed:
    columns = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table))).description or ()
    order = sql.SQL(" ORDER BY at") if any(column.name == "at" for column in columns) else sql.SQL("")
    query = sql.SQL("SELECT to_jsonb(t)::text FROM {} AS t WHERE user_id = %(who)s").format(sql.Identifier(table))
    return query + order


def _all_tables(connection: psycopg.Connection) -> set[str]:
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
    return {name for (name,) in rows}
