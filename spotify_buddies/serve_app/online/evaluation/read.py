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
SELECT model_version, arm, {_KEY} FROM online_reactions WHERE {_IN} GROUP BY 1, 2
"""  # noqa: S608
# Grouped by hashes: numbers cost Postgres less than texts, and only numbers come back. One pass for all of them.
_SUMS = f"""
SELECT key, coalesce(listener, 0), coalesce(playlist, 0), grouping(listener)::bigint,
  count(*) FILTER (WHERE score = 1), count(*)
FROM (
  SELECT {_KEY} AS key, hashtextextended(user_id, 0) AS listener, hashtextextended(playlist_id, 0) AS playlist, score
  FROM online_reactions WHERE {_IN}
) AS reacted
GROUP BY GROUPING SETS ((key, listener), (key, playlist))
"""  # noqa: S608
_EARLIER = """
SELECT hashtextextended(user_id, 0), count(*) FILTER (WHERE score = 1), count(*)
FROM online_reactions WHERE at >= %(past)s AND at < %(since)s GROUP BY 1
"""
_SHOWN = f"""
SELECT {_KEY}, hashtextextended(playlist_id, 0), count(*) FROM online_impressions WHERE {_IN} GROUP BY 1, 2
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


class Reacted(NamedTuple):
    """Sums of the reactions of a window, as columns, int64.

    listeners: key, listener, likes, reactions, likes and reactions before the window; one entry per listener and key.
    playlists: key, playlist, likes, reactions.
    """

    listeners: tuple[Array, ...]
    playlists: tuple[Array, ...]


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

    def names(self) -> list[tuple[str, str, int]]:
        """(version, arm, key) of what was reacted to."""
        return self._rows(_NAMES)

    def reacted(self) -> Reacted:
        """Everything that was reacted to in the window, summed."""
        key, listener, playlist, of_playlist, likes, reactions = self.columns(_SUMS, "iiiiii")
        one, other = of_playlist == 0, of_playlist == 1
        past = _joined(listener[one], *self.columns(_EARLIER, "iii"))
        return Reacted(
            (key[one], listener[one], likes[one], reactions[one], *past),
            (key[other], playlist[other], likes[other], reactions[other]),
        )

    def shown(self) -> tuple[Array, ...]:
        """key, playlist, impressions."""
        return self.columns(_SHOWN, "iii")

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


def _joined(listeners: Array, known: Array, likes: Array, reactions: Array) -> tuple[Array, Array]:
    """Likes and reactions of each of these listeners, 0 for those who are not known."""
    order = np.argsort(known)
    places = np.searchsorted(known, listeners, sorter=order)
    found = places < known.size
    found[found] = known[order[places[found]]] == listeners[found]
    joined = np.zeros((2, listeners.size), np.int64)
    for row, values in zip(joined, (likes, reactions), strict=True):
        row[found] = values[order[places[found]]]
    return joined[0], joined[1]


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
