"""Reading the listeners of both arms from the lists that were sent.

The counts of replicas count answers, and one listener has many. Lists name their listener, so each counts once in a
step; lists that are lost to a full buffer are lost in both arms.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import psycopg

from spotify_buddies.serve_app.generations.state import Generation
from spotify_buddies.serve_app.rollout.gates.listeners import Split, is_testable, log_evidence
from spotify_buddies.serve_app.store.actions import INTERLEAVED

# The kind of the event that says a split is not as asked.
EVENT = "blocked"
# Replicas begin to follow a generation at slightly different times, and write lists in batches: seconds that are left
# out at the start of a step and before now.
SETTLE_S = 5.0

# Who had both arms is the canary's: a failed canary lets production answer, which moves nobody to the other arm, and a
# split that draws an arm for each call shows as a canary with too many listeners. A listener without an id is always
# production's.
_LISTENERS = """
SELECT count(*) FILTER (WHERE canary), count(*), count(*) FILTER (WHERE canary AND production)
FROM (
  SELECT bool_or(arm = %(arm)s) AS canary, bool_or(arm = 'production') AS production
  FROM online_lists
  WHERE at >= %(since)s + %(settle)s * interval '1 second' AND at < now() - %(settle)s * interval '1 second'
    AND user_id <> ''
    AND ((arm = %(arm)s AND model_version = %(canary)s) OR (arm = 'production' AND model_version = %(production)s))
  GROUP BY user_id
) AS listeners
"""
_SAID = "SELECT EXISTS (SELECT FROM rollout_events WHERE kind = %s AND generation BETWEEN %s AND %s)"


async def read_split(
    connection: psycopg.AsyncConnection, generation: Generation, since: datetime, before: Split
) -> Split:
    """The listeners since the step began. before: of the last look; its peak is kept. psycopg.Error: no answer."""
    wanted = generation.wanted
    if not is_testable(wanted.share):
        return Split()
    # Drafted lists bear production's version.
    arm, version = (INTERLEAVED, wanted.production) if wanted.interleave else ("canary", wanted.canary)
    names = {"arm": arm, "canary": version, "production": wanted.production}
    cursor = await connection.execute(_LISTENERS, {"since": since, "settle": SETTLE_S, **names})
    (row,) = await cursor.fetchall()
    canary, listeners, both = (int(count) for count in row)
    seen = float(log_evidence(canary, listeners, wanted.share))
    return Split(canary, listeners, both, max(before.peak, seen))


async def was_blocked(connection: psycopg.AsyncConnection, generation: Generation, first: int) -> bool:
    """Whether an event of the step, which began with generation `first`, says that its split is not as asked."""
    cursor = await connection.execute(_SAID, (EVENT, first, generation.number))
    return await cursor.fetchone() == (True,)


def known(blocked: bool, alpha: float) -> Split:
    """What a new reader starts with: a mismatch that another one found is not forgotten."""
    return Split(peak=float(-np.log(alpha)) + 1e-9 if blocked else 0.0)
