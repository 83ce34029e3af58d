"""What Postgres knows of a list that was shown: its impression, and what its listener had said and seen by then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import class_row

from spotify_buddies.serve_app.store.report import is_current

# Clocks of replicas and of Postgres differ, and a replica knows feedback and lists of others a moment later: what
# happened within this time of the answer may or may not have counted for it.
UNSURE = timedelta(seconds=5)

# As float8 a float4 is itself; its text is a shorter number near it.
_COLUMNS = """at, recommendation_id, user_id, playlist_ids, model_version, arm, source, scores::float8[] AS scores,
propensities::float8[] AS propensities, coalesce(skipped, '{}') AS skipped, candidates, asked, picked_by"""
# An impression is found fast by its user alone; who reacted to the list is known by the list.
_USERS = """
SELECT user_id FROM reactions WHERE recommendation_id = %(id)s
UNION SELECT user_id FROM wishes WHERE recommendation_id = %(id)s
"""
_FIND = f"SELECT {_COLUMNS} FROM impressions WHERE recommendation_id = %(id)s"  # noqa: S608 - a constant of this module
_FIND_OF = f"{_FIND} AND user_id = ANY(%(users)s)"
# As store/commit.py keeps `blocks`: of each pair the last word on liking, and the last wish. Of pairs whose words were
# dropped with their week, what holds still is what held since its last change.
_BLOCKED = """
SELECT playlist_id FROM (
  SELECT DISTINCT ON (playlist_id) playlist_id, score FROM reactions
  WHERE user_id = %(user)s AND at < %(at)s AND score <> 0 ORDER BY playlist_id, at DESC, feedback_id DESC
) AS said WHERE score < 0
UNION SELECT playlist_id FROM (
  SELECT DISTINCT ON (playlist_id) playlist_id, until FROM wishes
  WHERE user_id = %(user)s AND at < %(at)s ORDER BY playlist_id, at DESC, feedback_id DESC
) AS wished WHERE until > %(at)s
UNION SELECT playlist_id FROM blocks AS held WHERE user_id = %(user)s AND changed_at < %(at)s AND (
  disliked AND NOT EXISTS (
    SELECT FROM reactions AS r WHERE r.user_id = held.user_id AND r.playlist_id = held.playlist_id AND score <> 0)
  OR until > %(at)s AND NOT EXISTS (
    SELECT FROM wishes AS w WHERE w.user_id = held.user_id AND w.playlist_id = held.playlist_id))
ORDER BY 1
"""
_SEEN = """
SELECT unnest(playlist_ids) FROM impressions
WHERE %(shown)s AND user_id = %(user)s AND at >= %(since)s AND at < %(at)s AND recommendation_id <> %(id)s
UNION SELECT playlist_id FROM reactions
WHERE %(liked)s AND user_id = %(user)s AND at >= %(since)s AND at < %(at)s AND score = 1
ORDER BY 1
"""
_SAID_NEAR = """
SELECT EXISTS (SELECT FROM reactions WHERE user_id = %(user)s AND at BETWEEN %(first)s AND %(last)s)
  OR EXISTS (SELECT FROM wishes WHERE user_id = %(user)s AND at BETWEEN %(first)s AND %(last)s)
"""
_SHOWN_NEAR = """
SELECT EXISTS (SELECT FROM impressions
WHERE user_id = %(user)s AND at BETWEEN %(first)s AND %(last)s AND recommendation_id <> %(id)s)
"""


class ReplayError(Exception):
    """A list cannot be computed again; says why and what to do."""


@dataclass(frozen=True)
class Stored:
    """An impression. at: in UTC. playlist_ids: best first; scores and propensities in their order, None: not stored.

    skipped: steps in lower case. candidates: the hash, of model_version. asked: for one listener, without the id.
    picked_by: the version that picked each playlist, where the list was drafted from two; else None.
    """

    at: datetime
    recommendation_id: str
    user_id: str
    playlist_ids: list[str]
    model_version: str
    arm: str
    source: str
    scores: list[float] | None
    propensities: list[float] | None
    skipped: list[str]
    candidates: bytes | None
    asked: bytes | None
    picked_by: list[str] | None = None


@dataclass(frozen=True)
class Past:
    """What must not come back for a listener at some moment. since: None: what was seen does not count.

    blocked, seen: playlist ids, ascending. said_near, shown_near: whether the listener said something, or was shown
    another list, within UNSURE of that moment, or of the first moment that counts.
    """

    blocked: list[str]
    seen: list[str]
    since: datetime | None
    said_near: bool
    shown_near: bool


def read_impression(
    connection: psycopg.Connection[Any], recommendation_id: str, user_id: str | None, days: float
) -> Stored:
    """The impression of a list. user_id: None: unknown; then every week may have to be read. days: they are kept.

    ReplayError: there is none. psycopg.Error.
    """
    if not is_current(connection):
        raise ReplayError("nothing is stored yet")
    values: dict[str, Any] = {"id": recommendation_id}
    users = [user_id] if user_id is not None else [user for (user,) in connection.execute(_USERS, values)]
    with connection.cursor(row_factory=class_row(Stored)) as cursor:
        found = cursor.execute(_FIND_OF, {**values, "users": users}).fetchone() if users else None
        if found is None and user_id is None:
            found = cursor.execute(_FIND, values).fetchone()
    if found is None:
        whose = "" if user_id is None else f" of user {user_id!r}"
        raise ReplayError(
            f"no list {recommendation_id}{whose} is stored; lists are kept for {days:g} days (serve.impressions_days), "
            "and are written a moment after the answer"
        )
    return replace(found, at=found.at.astimezone(UTC))


def read_past(
    connection: psycopg.Connection[Any], stored: Stored, since: datetime | None, *, shown: bool, liked: bool
) -> Past:
    """What must not come back for the listener of an impression when it was made. psycopg.Error.

    since: from when on what was shown, or liked, counts as seen; None: it does not count. Nobody's past, where the
    listener has no id, is empty.
    """
    values: dict[str, Any] = {"user": stored.user_id, "at": stored.at, "id": stored.recommendation_id}
    if not stored.user_id:
        return Past([], [], since, said_near=False, shown_near=False)
    ask = {**values, "since": since, "shown": shown, "liked": liked}
    edges = [stored.at] if since is None else [stored.at, since]
    near = [{**values, "first": edge - UNSURE, "last": edge + UNSURE} for edge in edges]
    return Past(
        blocked=[playlist for (playlist,) in connection.execute(_BLOCKED, values)],
        seen=[] if since is None else [playlist for (playlist,) in connection.execute(_SEEN, ask)],
        since=since,
        said_near=any(_yes(connection, _SAID_NEAR, edge) for edge in near),
        shown_near=since is not None and shown and any(_yes(connection, _SHOWN_NEAR, edge) for edge in near),
    )


def _yes(connection: psycopg.Connection[Any], question: str, values: dict[str, Any]) -> bool:
    row = connection.execute(question, values).fetchone()
    return row is not None and bool(row[0])
