"""Reading the likes of drafted lists, by the version that picked what was liked."""

from __future__ import annotations

from datetime import datetime

import psycopg

from spotify_buddies.serve_app.generations.state import Generation
from spotify_buddies.serve_app.rollout.gates.preference import Credits
from spotify_buddies.serve_app.store.actions import INTERLEAVED

# Likes whose list is not written yet have no version, and are read at a later look.
_CREDITS = """
WITH credited AS (
  SELECT count(*) FILTER (WHERE picked_by = %(canary)s) AS canary,
    count(*) FILTER (WHERE picked_by = %(production)s) AS production
  FROM online_reactions
  WHERE at >= %(since)s AND score = 1 AND arm = %(arm)s AND model_version = %(production)s
    AND picked_by IN (%(canary)s, %(production)s) AND user_id <> ''
  GROUP BY user_id
), preferred AS (
  SELECT canary, production, (canary - production)::double precision / (canary + production) AS value FROM credited
)
SELECT count(*), coalesce(sum(value), 0), coalesce(sum(value * value), 0), coalesce(sum(canary), 0)::bigint,
  coalesce(sum(production), 0)::bigint
FROM preferred
"""


async def read_credits(connection: psycopg.AsyncConnection, generation: Generation, since: datetime) -> Credits:
    """The likes since the canary began. psycopg.Error: no answer."""
    wanted = generation.wanted
    values = {"canary": wanted.canary, "production": wanted.production, "since": since, "arm": INTERLEAVED}
    (row,) = await (await connection.execute(_CREDITS, values)).fetchall()
    return Credits(*row)
