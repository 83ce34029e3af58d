"""A list drafted from two versions, computed again: both versions rank, and the coins are those of the list's id."""

from __future__ import annotations

from typing import Any

import psycopg

from spotify_buddies.serve_app.online.replay.computed import Computed, Entry, computed, ranker_of
from spotify_buddies.serve_app.online.replay.stored import Past, ReplayError, Stored
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.versions.interleaving.both import rules_of
from spotify_buddies.serve_app.versions.interleaving.draft import CANARY, coins_of, draft
from spotify_buddies.trainer.bundle import Bundle

# The canary of a list that production picked wholly: that of the generation which was active.
_CANARY = """
SELECT canary FROM rollout_generations
WHERE state = 'active' AND decided_at <= %s ORDER BY number DESC LIMIT 1
"""


def canary_of(connection: psycopg.Connection[Any], stored: Stored) -> str:
    """The version beside production's in a drafted list. ReplayError: it is not known. psycopg.Error."""
    others = set(stored.picked_by or ()) - {stored.model_version}
    if others:
        return others.pop()
    row = connection.execute(_CANARY, (stored.at,)).fetchone()
    if row is None or row[0] is None:
        raise ReplayError(
            f"list {stored.recommendation_id} was drafted from two versions, of which only {stored.model_version} is "
            "in it; no generation says what the canary was"
        )
    return str(row[0])


def compute_drafted(
    bundles: tuple[Bundle, Bundle], canary: str, stored: Stored, query: Query, past: Past, counted_listeners: int
) -> Computed:
    """As computed.compute, of a list drafted from production's bundle and the canary's, in this order. BundleError."""
    rankers = [ranker_of(bundle, stored, counted_listeners) for bundle in bundles]
    mine, theirs = (ranker.rank(query, [*past.blocked, *past.seen]) for ranker in rankers)
    coins = coins_of(bytes.fromhex(stored.recommendation_id))
    made = draft(rankers[0].engine, rankers[1].engine, mine, theirs, rules_of(query), coins)
    alone, entries, teams = computed(bundles[0], mine, query), [], []
    count = int(made.counts[0])
    for team, place in zip(made.teams[0, :count].tolist(), made.places[0, :count].tolist(), strict=True):
        lists = theirs if team == CANARY else mine
        name = bundles[team].playlist_ids.table[int(lists.rows[0, place])]
        entries.append(Entry(name, float(lists.scores[0, place]), 1.0))  # nothing but the coins is drawn
        teams.append(canary if team == CANARY else stored.model_version)
    return Computed(entries, alone.source, alone.candidates, teams)
