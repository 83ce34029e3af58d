"""One transaction for several actions.

No two transactions can wait for each other in a circle: each takes the keys in ascending order, then the blocks in
ascending order, and nothing else that another one could hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from serve_app.store.actions import FOREVER, Change, Feedback, Stored

CHANNEL = "buddies_blocks"

# Seconds since 1970 up to which a row of blocks holds, as in actions.Change.
UNTIL = f"""CASE WHEN disliked THEN {FOREVER} WHEN until > now()
  THEN least(ceil(extract(epoch FROM least(until, '3000-01-01'))), {FOREVER}) ELSE 0 END::bigint"""

_KEYS = """
INSERT INTO feedback (idempotency_key, at, rows)
SELECT key, coalesce(%(at)s::timestamptz, now()), rows
FROM unnest(%(keys)s::text[], %(rows)s::smallint[]) AS action (key, rows)
ORDER BY key COLLATE "C"
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING idempotency_key, id, at
"""
_EARLIER = "SELECT idempotency_key, rows FROM feedback WHERE idempotency_key = ANY(%s)"
_REACTIONS = """
INSERT INTO reactions (at, feedback_id, recommendation_id, user_id, playlist_id, score, model_version, arm)
SELECT %(at)s, action.id, action.recommendation, action.listener, reaction.playlist, reaction.score, action.version,
  action.arm
FROM unnest(%(of)s::int[], %(playlists)s::text[], %(scores)s::smallint[]) AS reaction (action, playlist, score)
JOIN unnest(%(ids)s::bigint[], %(recommendations)s::text[], %(users)s::text[], %(versions)s::text[], %(arms)s::text[])
  WITH ORDINALITY AS action (id, recommendation, listener, version, arm, number) ON action.number = reaction.action
"""
_WISHES = """
INSERT INTO wishes (at, feedback_id, recommendation_id, user_id, playlist_id, until)
SELECT %(at)s, * FROM unnest(
  %(ids)s::bigint[], %(recommendations)s::text[], %(users)s::text[], %(playlists)s::text[], %(until)s::timestamptz[])
"""
# A like or a wish taken back has nothing to change where nothing holds. A block that another transaction is about to
# commit is not seen here: then that one counts as the later.
_BLOCKS = f"""
WITH changed AS (
  INSERT INTO blocks AS block (user_id, playlist_id, disliked, until)
  SELECT listener, playlist, wanted.disliked, wanted.until
  FROM unnest(%(users)s::text[], %(playlists)s::text[], %(disliked)s::boolean[], %(until)s::timestamptz[])
    AS wanted (listener, playlist, disliked, until)
  WHERE wanted.disliked OR wanted.until > now() OR EXISTS (
    SELECT FROM blocks AS held
    WHERE held.user_id = listener AND held.playlist_id = playlist AND (held.disliked OR held.until > now()))
  ORDER BY listener COLLATE "C", playlist COLLATE "C"
  ON CONFLICT (user_id, playlist_id) DO UPDATE SET
    disliked = coalesce(excluded.disliked, block.disliked),
    until = coalesce(excluded.until, block.until),
    change = nextval('blocks_changes'), changed_by = pg_current_xact_id(), changed_at = now()
  RETURNING user_id, playlist_id, {UNTIL} AS until, change
)
SELECT user_id, playlist_id, until, change, pg_notify('{CHANNEL}', '') FROM changed
"""  # noqa: S608 - constants of this module


@dataclass(frozen=True)
class Committed:
    """What became of each action, in their order, and the blocks that changed."""

    stored: tuple[Stored, ...]
    changes: tuple[Change, ...]


async def commit(
    connection: psycopg.AsyncConnection, actions: Sequence[Feedback], at: datetime | None = None
) -> Committed:
    """Store the actions whose keys are new, all or none. at: when they happened; None: the database's clock.

    An action whose key stands twice is stored once, as the first of them. psycopg.Error: nothing is known to be stored.
    """
    places = {action.idempotency_key: place for place, action in reversed(list(enumerate(actions)))}
    first = {key: actions[place] for key, place in places.items()}
    async with connection.pipeline():
        await connection.execute("BEGIN")
        keys = await connection.execute(
            _KEYS, {"at": at, "keys": list(first), "rows": [action.rows() for action in first.values()]}, prepare=True
        )
        accepted: dict[str, tuple[int, datetime]] = {key: (id_, when) for key, id_, when in await keys.fetchall()}
        blocks = await _insert(connection, [a for key, a in first.items() if key in accepted], accepted)
        earlier = None
        if len(accepted) < len(first):
            earlier = await connection.execute(_EARLIER, ([key for key in first if key not in accepted],))
        await connection.execute("COMMIT")
        changed = await blocks.fetchall() if blocks is not None else []
        rows = {key: first[key].rows() for key in accepted}
        rows.update(await earlier.fetchall() if earlier is not None else [])
    stored = tuple(
        Stored(
            new=action.idempotency_key in accepted and place == places[action.idempotency_key],
            reactions=rows.get(action.idempotency_key, 0),
        )
        for place, action in enumerate(actions)
    )
    return Committed(stored, tuple(Change(*row[:4]) for row in changed))


async def _insert(
    connection: psycopg.AsyncConnection, actions: Sequence[Feedback], accepted: dict[str, tuple[int, datetime]]
) -> psycopg.AsyncCursor[Any] | None:
    """Send the rows of accepted actions; a cursor over the changed blocks, None where no action can change one."""
    if not actions:
        return None
    at = accepted[actions[0].idempotency_key][1]
    ids = [accepted[action.idempotency_key][0] for action in actions]
    reactions = [(number, *each) for number, action in enumerate(actions, 1) for each in action.reactions()]
    if reactions:
        of, playlists, scores = (list(column) for column in zip(*reactions, strict=True))
        await connection.execute(
            _REACTIONS,
            {
                "at": at, "of": of, "playlists": playlists, "scores": scores, "ids": ids,
                "recommendations": [action.recommendation_id for action in actions],
                "users": [action.user_id for action in actions],
                "versions": [action.model_version for action in actions],
                "arms": [action.arm for action in actions],
            },
            prepare=True,
        )  # fmt: skip
    wishes = [(id_, action, wish) for id_, action in zip(ids, actions, strict=True) for wish in action.wishes]
    if wishes:
        await connection.execute(
            _WISHES,
            {
                "at": at, "ids": [id_ for id_, _, _ in wishes],
                "recommendations": [action.recommendation_id for _, action, _ in wishes],
                "users": [action.user_id for _, action, _ in wishes],
                "playlists": [wish.playlist_id for _, _, wish in wishes],
                "until": [wish.until for _, _, wish in wishes],
            },
        )  # fmt: skip
    return await _change_blocks(connection, actions)


async def _change_blocks(
    connection: psycopg.AsyncConnection, actions: Sequence[Feedback]
) -> psycopg.AsyncCursor[Any] | None:
    """What the actions say of blocks, the last word on each (listener, playlist) in the order given."""
    disliked: dict[tuple[str, str], bool] = {}
    until: dict[tuple[str, str], datetime] = {}
    for action in actions:
        disliked.update(((action.user_id, playlist_id), False) for playlist_id in action.liked)
        disliked.update(((action.user_id, playlist_id), True) for playlist_id in action.disliked)
        until.update(((action.user_id, wish.playlist_id), wish.until) for wish in action.wishes)
    pairs = list(disliked | until)
    if not pairs:
        return None
    return await connection.execute(
        _BLOCKS,
        {
            "users": [user_id for user_id, _ in pairs],
            "playlists": [playlist_id for _, playlist_id in pairs],
            "disliked": [disliked.get(pair) for pair in pairs],
            "until": [until.get(pair) for pair in pairs],
        },
        prepare=True,
    )
