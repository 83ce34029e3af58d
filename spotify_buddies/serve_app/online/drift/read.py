"""Counts of what was asked, shown and liked, by day, aggregated in Postgres through the views online_*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

Array = npt.NDArray[Any]

DAY_S = 86_400
# Sources whose lists were ranked by a factor of the user's own.
WARM = ("live", "daily")

_SPAN = "at >= %(since)s AND at < %(until)s"
_DAY = f"floor(extract(epoch FROM at - %(since)s) / {DAY_S})::int"
_LISTS = f"""
SELECT {_DAY}, source, cardinality(skipped) > 0, count(*) FROM online_lists WHERE {_SPAN} GROUP BY 1, 2, 3
"""  # noqa: S608 - constants
_REACTIONS = f"""
SELECT {_DAY}, count(*) FILTER (WHERE score = 1), count(*) FROM online_reactions WHERE {_SPAN} GROUP BY 1
"""  # noqa: S608
_USERS = f"""
SELECT {_DAY}, array_agg(DISTINCT user_id) FROM online_lists WHERE {_SPAN} AND user_id <> '' GROUP BY 1
"""  # noqa: S608
_PLAYLISTS = f"""
SELECT {_DAY}, playlist_id, count(*) FROM online_impressions
WHERE {_SPAN} AND model_version = %(version)s GROUP BY 1, 2
"""  # noqa: S608
_SCORES = f"""
SELECT {_DAY}, width_bucket(score, %(edges)s::real[]), count(*) FROM online_impressions
WHERE {_SPAN} AND model_version = %(version)s AND source = ANY(%(warm)s) AND score IS NOT NULL GROUP BY 1, 2
"""  # noqa: S608
# No view has what was asked. Lists that no factor of the user's own ranked; a taste of one song has 7 bytes.
_TASTES = f"""
FROM (
  SELECT {_DAY} AS day, recommendation_id, asked FROM impressions
  WHERE {_SPAN} AND source <> ALL(%(warm)s) AND octet_length(asked) >= 7
) AS cold
"""  # noqa: S608
_TASTES_COUNTED = f"SELECT day, count(*) {_TASTES} GROUP BY 1"
# Drawn by a hash of the list's id, so that the same window gives the same lists.
_DRAWS = 1 << 20
_TASTES_DRAWN = f"""
SELECT day, asked {_TASTES} WHERE (hashtext(recommendation_id) & {_DRAWS - 1}) < (%(shares)s::int[])[day + 1]
"""
_MOST_SHOWN = f"""
SELECT model_version FROM online_lists WHERE {_SPAN} AND arm = 'production'
GROUP BY 1 ORDER BY count(*) DESC, 1 DESC LIMIT 1
"""  # noqa: S608


@dataclass(frozen=True)
class Span:
    """The days that are read: `days` times 24 hours that end at `until`, in UTC."""

    until: datetime
    days: int

    @property
    def since(self) -> datetime:
        """The first moment."""
        return self.until - timedelta(days=self.days)

    @property
    def values(self) -> dict[str, Any]:
        """As parameters of the statements."""
        return {"since": self.since, "until": self.until}


@dataclass(frozen=True)
class ListCounts:
    """Lists by day: of each source, int64 (days, sources), and with a step skipped or none, int64 (days, 2)."""

    sources: tuple[str, ...]
    by_source: Array
    by_skipped: Array


async def read_lists(connection: psycopg.AsyncConnection, span: Span) -> ListCounts:
    """Count the lists that were sent. psycopg.Error: Postgres is unreachable."""
    rows = await _rows(connection, _LISTS, span.values)
    sources = tuple(sorted({source for _, source, _, _ in rows}))
    by_source = np.zeros((span.days, len(sources)), np.int64)
    by_skipped = np.zeros((span.days, 2), np.int64)
    for day, source, skipped, count in rows:
        by_source[day, sources.index(source)] += count
        by_skipped[day, 0 if skipped else 1] += count
    return ListCounts(sources, by_source, by_skipped)


async def read_reactions(connection: psycopg.AsyncConnection, span: Span) -> Array:
    """Reactions by day, int64 (days, 2): likes, and others. psycopg.Error."""
    counts = np.zeros((span.days, 2), np.int64)
    for day, liked, every in await _rows(connection, _REACTIONS, span.values):
        counts[day] = liked, every - liked
    return counts


async def read_users(connection: psycopg.AsyncConnection, span: Span) -> list[list[str]]:
    """The distinct users of each day, oldest day first. psycopg.Error."""
    users: list[list[str]] = [[] for _ in range(span.days)]
    for day, found in await _rows(connection, _USERS, span.values):
        users[day] = found
    return users


async def read_playlists(connection: psycopg.AsyncConnection, span: Span, version: str) -> list[tuple[int, str, int]]:
    """How often a version's lists showed each playlist: (day, playlist_id, places). psycopg.Error."""
    return await _rows(connection, _PLAYLISTS, {**span.values, "version": version})


async def read_scores(connection: psycopg.AsyncConnection, span: Span, version: str, edges: Sequence[float]) -> Array:
    """Scores of a version's lists by day, int64 (days, edges + 1): below the first edge, .., from the last on.

    Only of lists that were ranked by a factor of the user's own; fallbacks have scores of another kind. psycopg.Error.
    """
    values = {**span.values, "version": version, "edges": list(edges), "warm": list(WARM)}
    counts = np.zeros((span.days, len(edges) + 1), np.int64)
    for day, place, count in await _rows(connection, _SCORES, values):
        counts[day, place] = count
    return counts


async def read_asked(connection: psycopg.AsyncConnection, span: Span, most: int) -> list[tuple[int, bytes]]:
    """What lists of no known taste asked for: (day, serialized request without its users), about `most` of each day.

    Drawn at random, the same ones for the same lists. Some may be no tastes, but ids that no version knows.
    psycopg.Error.
    """
    values = {**span.values, "warm": list(WARM)}
    counts = dict(await _rows(connection, _TASTES_COUNTED, values))
    if not counts:
        return []
    shares = [min(_DRAWS, ceil(_DRAWS * most / max(counts.get(day, 0), 1))) for day in range(span.days)]
    return await _rows(connection, _TASTES_DRAWN, {**values, "shares": shares})


async def most_shown_version(connection: psycopg.AsyncConnection, span: Span) -> str | None:
    """The version of most lists of the production arm; None: there are no lists. psycopg.Error."""
    rows = await _rows(connection, _MOST_SHOWN, span.values)
    return rows[0][0] if rows else None


async def _rows(connection: psycopg.AsyncConnection, statement: str, values: Mapping[str, Any]) -> list[Any]:
    cursor = await connection.execute(statement.encode(), values)
    return await cursor.fetchall()
