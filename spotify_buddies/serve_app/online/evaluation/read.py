"""What the views say, aggregated by Postgres: a row per listener, playlist or kind of list, never per reaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import psycopg

from spotify_buddies.serve_app.online.evaluation.window import Window

Array = npt.NDArray[Any]

_KEY = "hashtextextended(model_version, 0) # hashtextextended(arm, 1)"
_IN = """at >= %(since)s AND at < %(until)s
  AND (%(version)s::text IS NULL OR model_version = %(version)s) AND (%(arm)s::text IS NULL OR arm = %(arm)s)"""
_LISTS = f"""
SELECT model_version, arm, {_KEY}, source, skipped, floor(extract(epoch FROM at - computed) / 60)::int, count(*)
FROM online_lists WHERE {_IN} GROUP BY 1, 2, 4, 5, 6
"""  # noqa: S608 - our own text
_SHOWN_TO = f"""
SELECT {_KEY}, count(*) FROM (SELECT DISTINCT model_version, arm, user_id FROM online_lists WHERE {_IN}) AS shown
GROUP BY model_version, arm
"""  # noqa: S608
_NAMES = f"""
SELECT model_version, arm, {_KEY}, count(*) FROM online_reactions WHERE {_IN} GROUP BY 1, 2
"""  # noqa: S608
# Grouped by hashes: numbers cost Postgres less than texts, and only numbers come back.
_LISTENERS = f"""
WITH earned AS (
  SELECT {_KEY} AS key, hashtextextended(user_id, 0) AS listener,
    count(*) FILTER (WHERE score = 1) AS likes, count(*) AS reactions
  FROM online_reactions WHERE {_IN} GROUP BY 1, 2
), earlier AS (
  SELECT hashtextextended(user_id, 0) AS listener, count(*) FILTER (WHERE score = 1) AS likes, count(*) AS reactions
  FROM online_reactions WHERE at >= %(past)s AND at < %(since)s GROUP BY 1
)
SELECT key, listener, earned.likes, earned.reactions, coalesce(earlier.likes, 0), coalesce(earlier.reactions, 0)
FROM earned LEFT JOIN earlier USING (listener)
"""  # noqa: S608
_SHOWN = f"""
SELECT {_KEY}, hashtextextended(playlist_id, 0), count(*) FROM online_impressions WHERE {_IN} GROUP BY 1, 2
"""  # noqa: S608
_REACTED = f"""
SELECT {_KEY}, hashtextextended(playlist_id, 0), count(*) FILTER (WHERE score = 1), count(*)
FROM online_reactions WHERE {_IN} GROUP BY 1, 2
"""  # noqa: S608
# The best place that was liked, in the lists of the window that were reacted to in it. Reactions are summed by list
# before the join, so that as many rows meet as there are lists.
_LIST = "hashtextextended(recommendation_id, hashtextextended(user_id, 0))"
_RANKS = f"""
SELECT key, listener, sum(coalesce(1 / best::float8, 0)), count(*)
FROM (
  SELECT {_KEY} AS key, hashtextextended(user_id, 0) AS listener,
    (SELECT min(array_position(playlist_ids, one)) FROM unnest(liked) AS one) AS best
  FROM online_places JOIN (
    SELECT {_LIST} AS list, array_agg(playlist_id) FILTER (WHERE score = 1) AS liked
    FROM online_reactions WHERE at >= %(since)s AND at < %(until)s GROUP BY 1
  ) AS reacted ON list = {_LIST}
  WHERE {_IN}
) AS lists
GROUP BY 1, 2
"""  # noqa: S608


# The newest column of the views stands for all of them.
_TABLES = """
SELECT to_regclass('impressions'), (
  SELECT true FROM pg_attribute WHERE attrelid = to_regclass('online_lists') AND attname = 'computed'
)
"""


class ListsOf(NamedTuple):
    """How many lists have all of this in common. age: whole minutes since they were computed; None: nobody says."""

    version: str
    arm: str
    key: int
    source: str
    skipped: list[str]
    age: int | None
    lists: int


class NoViews(RuntimeError):
    """The store is older than this release."""


class Logs:
    """One consistent look at the logs within a window."""

    def __init__(self, connection: psycopg.Connection, window: Window) -> None:
        self._connection = connection
        self._values = asdict(window)

    def lists(self) -> list[ListsOf]:
        """Lists of one kind, counted."""
        return [ListsOf(*row) for row in self._rows(_LISTS)]

    def shown_to(self) -> dict[int, int]:
        """Listeners who were shown a list, by key."""
        return dict(self._rows(_SHOWN_TO))

    def reactions(self) -> list[tuple[str, str, int, int]]:
        """(version, arm, key, reactions)."""
        return self._rows(_NAMES)

    def listeners(self) -> tuple[Array, ...]:
        """key, listener, likes, reactions, likes and reactions before the window; one entry per listener and key."""
        return self.columns(_LISTENERS, "iiiiii")

    def shown(self) -> tuple[Array, ...]:
        """key, playlist, impressions."""
        return self.columns(_SHOWN, "iii")

    def reacted(self) -> tuple[Array, ...]:
        """key, playlist, likes, reactions."""
        return self.columns(_REACTED, "iiii")

    def ranks(self) -> tuple[Array, ...]:
        """key, listener, sum of the reciprocal ranks, lists that were reacted to."""
        return self.columns(_RANKS, "iifi")

    def columns(self, query: str, kinds: str, **values: Any) -> tuple[Array, ...]:
        """The columns of a query: kinds i (bigint) or f (float8), none NULL. Binary COPY, read without a loop."""
        cursor = self._connection.cursor()
        with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)".encode(), self._values | values) as copy:
            data = b"".join(bytes(block) for block in copy)
        fields: list[tuple[str, Any]] = [("fields", ">i2")]
        for place, kind in enumerate(kinds):
            fields += [(f"size{place}", ">i4"), (f"value{place}", ">i8" if kind == "i" else ">f8")]
        record = np.dtype(fields)
        # 19 bytes of header and 2 of trailer, by the documentation of COPY.
        rows = np.frombuffer(data, record, (len(data) - 21) // record.itemsize, 19)
        return tuple(rows[f"value{place}"].astype(f"{kind}8") for place, kind in enumerate(kinds))

    def row(self, query: str, **values: Any) -> Sequence[Any]:
        """The only row of a query."""
        (found,) = self._connection.execute(query.encode(), self._values | values).fetchall()
        return found

    def _rows(self, query: str) -> list[Any]:
        return self._connection.execute(query.encode(), self._values).fetchall()


@contextmanager
def open_logs(url: str, window: Window) -> Iterator[Logs | None]:
    """Logs of one snapshot; None: nothing was ever stored. psycopg.Error; NoViews: the store is of an older release."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        # Sums of a million listeners fit: without it they go through files.
        connection.execute("SET LOCAL work_mem = '128MB'")
        found = connection.execute(_TABLES).fetchone()
        if found is None or found[0] is None:
            yield None
            return
        if found[1] is None:
            raise NoViews("the store has no online_ views yet; `buddies store maintain` of this release makes them")
        yield Logs(connection, window)
