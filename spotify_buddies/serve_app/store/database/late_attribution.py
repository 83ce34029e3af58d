"""Late resolution of version and arm: reactions whose list was written after them."""

from __future__ import annotations

from datetime import timedelta

import psycopg

from spotify_buddies.serve_app.store.actions import INTERLEAVED, UNSPECIFIED

# Reactions are found by their time (BRIN), so that a short while costs the same however much is stored.
_LATE = f"""
UPDATE reactions SET model_version = given.model_version, arm = given.arm,
  picked_by = given.picked_by[array_position(given.playlist_ids, reactions.playlist_id)]
FROM impressions AS given
WHERE reactions.at >= now() - %s::interval AND (
    reactions.arm = '{UNSPECIFIED}' OR reactions.model_version = ''
    OR reactions.arm = '{INTERLEAVED}' AND reactions.picked_by IS NULL
      AND (given.picked_by IS NULL OR reactions.playlist_id = ANY(given.playlist_ids)))
  AND given.user_id = reactions.user_id AND given.recommendation_id = reactions.recommendation_id
"""  # noqa: S608 - a constant


async def attribute_late(connection: psycopg.AsyncConnection, back: timedelta) -> int:
    """Give reactions of the last while the version and arm of lists that were written since; how many got them.

    Safe to repeat, and in several processes at once. psycopg.Error: none got any.
    """
    return (await connection.execute(_LATE, (back,))).rowcount
