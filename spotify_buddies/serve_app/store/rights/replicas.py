"""Which processes honour an erasure: what they wrote themselves, and a wait for those that have not yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from spotify_buddies.serve_app.store.database.connections import parameters

# A follower that has been silent for longer may be gone, or cut off from Postgres: nobody waits for it, and after an
# hour nobody speaks of it.
LIVE_S = 10.0
POLL_S = 0.05
CONNECT_S = 5.0
_FOLLOWERS = """
SELECT follower, confirmed, key IS NOT DISTINCT FROM %s, extract(epoch FROM clock_timestamp() - seen_at)::float
FROM erasure_followers WHERE seen_at > clock_timestamp() - interval '1 hour' ORDER BY follower
"""
# Replicas of a release that does not follow erasures report here alone.
_REPORTING = """
SELECT replica FROM rollout_replicas WHERE role = 'ranker' AND seen_at > clock_timestamp() - interval '5 s'
  AND replica NOT IN (SELECT follower FROM erasure_followers) ORDER BY replica
"""


@dataclass(frozen=True)
class Follower:
    """A process. confirmed: the newest erasure that it honours. same_key: it can tell who is meant.

    silent_s: since it was heard of last.
    """

    name: str
    confirmed: int
    same_key: bool
    silent_s: float


@dataclass(frozen=True)
class Confirmations:
    """Processes by what they say of an erasure. pending: sentences about those that have not confirmed it."""

    confirmed: tuple[str, ...]
    pending: tuple[str, ...]


def wait_for(url: str, number: int, key: bytes, within_s: float) -> Confirmations:
    """Return when every live process honours the erasure, or after within_s. psycopg.Error."""
    until = time.monotonic() + within_s
    with psycopg.connect(url, **parameters(url, CONNECT_S, CONNECT_S)) as connection:
        while True:
            found = [Follower(*row) for row in connection.execute(_FOLLOWERS, (key,)).fetchall()]
            waiting = [one for one in found if one.confirmed < number and one.silent_s < LIVE_S]
            if not waiting or time.monotonic() > until:
                unknown = [name for (name,) in connection.execute(_REPORTING).fetchall()]
                return _confirmations(found, unknown, number)
            time.sleep(POLL_S)


def _confirmations(found: Sequence[Follower], unknown: Sequence[str], number: int) -> Confirmations:
    confirmed, pending = [], []
    for one in found:
        if one.confirmed >= number and one.same_key:
            confirmed.append(one.name)
        elif one.confirmed >= number:
            pending.append(f"{one.name} has another key, or none, and cannot tell who is meant")
        elif one.silent_s < LIVE_S:
            pending.append(f"{one.name} has not confirmed it yet")
        else:
            pending.append(f"{one.name} has been silent for {one.silent_s:,.0f} s: it is gone, or cut off")
    pending += [f"{name} is of a release that does not follow erasures; restart it" for name in unknown]
    return Confirmations(tuple(confirmed), tuple(pending))
