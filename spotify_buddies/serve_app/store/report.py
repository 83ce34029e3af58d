"""Reports on the store, for people: the reactions to one recommendation, and the sizes of all tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

_READ = """
SELECT recommendation_id, user_id, model_version, arm, at, playlist_id, score
FROM reactions WHERE recommendation_id = %s
ORDER BY feedback_id, score DESC, playlist_id
"""
_TABLES = """
SELECT parent.relname, greatest(count(inhrelid), 1),
  sum(pg_total_relation_size(coalesce(inhrelid, parent.oid)))::bigint,
  sum(CASE WHEN part.reltuples < 0 THEN NULL ELSE part.reltuples END)::bigint
FROM pg_class AS parent
LEFT JOIN pg_inherits ON inhparent = parent.oid
JOIN pg_class AS part ON part.oid = coalesce(inhrelid, parent.oid)
WHERE parent.oid IN ('feedback'::regclass, 'reactions'::regclass, 'wishes'::regclass, 'impressions'::regclass,
  'blocks'::regclass)
GROUP BY parent.oid, parent.relname ORDER BY parent.relname
"""
# Up to this size rows are counted; beyond it Postgres' estimate is reported.
COUNTED_BYTES = 64 * 2**20


@dataclass(frozen=True)
class FeedbackRow:
    """One stored reaction, for people and reports."""

    recommendation_id: str
    user_id: str
    model_version: str
    arm: str
    created_at: datetime
    playlist_id: str
    score: int


@dataclass(frozen=True)
class TableSize:
    """One table. rows: counted, or, where `estimated`, Postgres' estimate. partitions: 1 where it has none.

    oldest: None for an empty table and for one without times.
    """

    table: str
    rows: int
    estimated: bool
    partitions: int
    bytes: int
    oldest: datetime | None


def read_feedback(url: str, recommendation_id: str) -> list[FeedbackRow]:
    """Every stored reaction to one recommendation, oldest action first, best score first. None: an empty list.

    psycopg.OperationalError when Postgres cannot be reached.
    """
    with psycopg.connect(url, connect_timeout=5) as connection:
        if not is_current(connection):
            return []
        return [FeedbackRow(*row) for row in connection.execute(_READ, (recommendation_id,))]


def read_sizes(url: str) -> list[TableSize]:
    """Rows, partitions and bytes of every table of the store, by name; none before the first use. psycopg.Error."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        if not is_current(connection):
            return []
        return [_size(connection, *row) for row in connection.execute(_TABLES).fetchall()]


def is_current(connection: psycopg.Connection) -> bool:
    """Whether the tables of this release are there."""
    return connection.execute("SELECT to_regclass('impressions')").fetchone() != (None,)


def _size(connection: psycopg.Connection, table: str, partitions: int, size: int, estimate: int | None) -> TableSize:
    estimated = size > COUNTED_BYTES and estimate is not None
    rows = estimate if estimated else _one(connection, f"SELECT count(*) FROM {table}")  # noqa: S608 - our own tables
    oldest = None if table == "blocks" else _one(connection, f"SELECT min(at) FROM {table}")  # noqa: S608
    return TableSize(table, rows or 0, estimated, partitions, size, oldest)


def _one(connection: psycopg.Connection, query: str) -> Any:
    ((value,),) = connection.execute(query.encode()).fetchall()
    return value
