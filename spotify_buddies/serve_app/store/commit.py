"""The commit of several actions in one transaction and one statement.

An erasure of a listener (rights/) and a commit of theirs wait for each other, by a lock that comes before all others.
Two transactions never deadlock: each locks the keys in ascending order, then the blocks in ascending order (their sort
reads every key first), and nothing else that another one could hold.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from json import JSONEncoder

import psycopg

from spotify_buddies.serve_app.store.actions import FOREVER, Change, Feedback, StoredAction
from spotify_buddies.serve_app.store.fingerprint import differing, fingerprint

CHANNEL = "buddies_blocks"

# Seconds since 1970 up to which a row of blocks holds, as in actions.Change.
# One that has run out keeps its end: the time of a call that is simulated may lie before it.
UNTIL = f"""CASE WHEN disliked THEN {FOREVER}
  ELSE greatest(least(ceil(extract(epoch FROM least(coalesce(until, 'epoch'), '3000-01-01'))), {FOREVER}), 0)
  END::bigint"""

# One statement is one round trip, and half the processor time of BEGIN, an INSERT for each table, and COMMIT; rows as
# JSON are a third cheaper to send than as arrays.
# For each (user, playlist) the last word counts, for dislikes and for wishes separately. A like or a withdrawn wish
# changes nothing where no block holds. A block that another transaction is about to commit is not visible here: that
# transaction then counts as the later one. (Not EXISTS: a plan made while blocks were few would read all of them for
# every batch until they are analysed again: a second for a million.)
_COMMIT = f"""
WITH said AS (
  SELECT * FROM json_to_recordset(%(said)s::json) AS action (
    number int, caller text, key text, fingerprint bytea, rows smallint, recommendation text, who text,
    version text, arm text, happened timestamptz)
), accepted AS (
  INSERT INTO feedback (caller, idempotency_key, fingerprint, at, rows)
  SELECT caller, key, fingerprint, coalesce(happened, %(at)s::timestamptz, now()), rows FROM said
  WHERE admit_feedback(who, caller, key)
  ORDER BY caller COLLATE "C", key COLLATE "C"
  ON CONFLICT (caller, idempotency_key) DO NOTHING
  RETURNING caller, idempotency_key, id, at
), word AS (
  SELECT id, at, number, recommendation, who, version, arm, playlist, score, until, picked
  FROM accepted JOIN said ON key = idempotency_key AND said.caller = accepted.caller
  JOIN json_to_recordset(%(words)s::json) AS word (
    action int, playlist text, score smallint, until timestamptz, picked text)
    ON action = number
), reacted AS (
  INSERT INTO reactions (at, feedback_id, recommendation_id, user_id, playlist_id, score, model_version, arm, picked_by)
  SELECT at, id, recommendation, who, playlist, score, version, arm, picked FROM word WHERE score IS NOT NULL
), wished AS (
  INSERT INTO wishes (at, feedback_id, recommendation_id, user_id, playlist_id, until)
  SELECT at, id, recommendation, who, playlist, until FROM word WHERE until IS NOT NULL
), wanted AS (
  -- what was said in the past, as in a simulation, holds from then on
  SELECT who, playlist, least(max(at), now()) AS said,
    (array_agg(score < 0 ORDER BY number DESC) FILTER (WHERE score <> 0))[1] AS disliked,
    (array_agg(until ORDER BY number DESC) FILTER (WHERE until IS NOT NULL))[1] AS until
  FROM word WHERE score <> 0 OR until IS NOT NULL
  GROUP BY who, playlist
), changed AS (
  INSERT INTO blocks AS block (user_id, playlist_id, disliked, until)
  SELECT who, playlist, wanted.disliked, wanted.until FROM wanted
  WHERE wanted.disliked OR wanted.until > wanted.said OR (
    SELECT held.disliked OR held.until > wanted.said FROM blocks AS held
    WHERE held.user_id = who AND held.playlist_id = playlist)
  ORDER BY who COLLATE "C", playlist COLLATE "C"
  ON CONFLICT (user_id, playlist_id) DO UPDATE SET
    disliked = coalesce(excluded.disliked, block.disliked),
    until = coalesce(excluded.until, block.until),
    change = nextval('blocks_changes'), changed_by = pg_current_xact_id(), changed_at = now()
  RETURNING user_id, playlist_id, {UNTIL} AS until, change
)
SELECT caller, idempotency_key, NULL::bigint, NULL::bigint, NULL FROM accepted
UNION ALL
SELECT user_id, playlist_id, until, change, pg_notify('{CHANNEL}', '')::text FROM changed
"""  # noqa: S608 - constants of this module
# With several callers this may return keys that were not asked for, which is cheaper than a join of pairs.
_EARLIER = """SELECT caller, idempotency_key, rows, fingerprint FROM feedback
WHERE caller = ANY(%s) AND idempotency_key = ANY(%s)"""
# Caller and idempotency key; rows under such a key and the fingerprint of what was stored.
_Key = tuple[str, str]
_Held = tuple[int, bytes | None]
# The key was deleted between the two statements, or its action was erased.
_GONE: _Held = (0, None)
_encode = JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Committed:
    """Outcome of each action, in their order, and the blocks that changed."""

    stored: tuple[StoredAction, ...]
    changes: tuple[Change, ...]


async def commit(
    connection: psycopg.AsyncConnection, actions: Sequence[Feedback], happened_at: datetime | None = None
) -> Committed:
    """Store the actions whose keys are new, all or none. happened_at: None: now, by the database's clock.

    Of actions with the same key and caller the first is stored; the others are repetitions of it, or differ from it.
    psycopg.Error: it is unknown whether anything was stored.
    """
    keys = [(action.caller, action.idempotency_key) for action in actions]
    prints = [fingerprint(action) for action in actions]
    places: dict[_Key, int] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, place)
    sent = [(actions[place], prints[place]) for place in places.values()]
    values = {"at": happened_at, "said": _encode(_said(sent)), "words": _encode(_words([action for action, _ in sent]))}
    answer = await (await connection.execute(_COMMIT, values, prepare=True)).fetchall()
    accepted = {(row[0], row[1]) for row in answer if row[3] is None}
    held: dict[_Key, _Held] = {key: (actions[places[key]].rows(), prints[places[key]]) for key in accepted}
    if len(accepted) < len(sent):
        # In a second statement: the first action may have been committed after the statement above began.
        held = await _earlier(connection, places.keys() - accepted) | held
    stored = tuple(
        _stored(key in accepted and place == places[key], prints[place], held.get(key, _GONE))
        for place, key in enumerate(keys)
    )
    return Committed(stored, tuple(Change(*row[:4]) for row in answer if row[3] is not None))


async def _earlier(connection: psycopg.AsyncConnection, keys: Set[_Key]) -> dict[_Key, _Held]:
    callers, names = ({key[part] for key in keys} for part in (0, 1))
    rows = await (await connection.execute(_EARLIER, (sorted(callers), sorted(names)))).fetchall()
    return {(caller, key): (count, stored) for caller, key, count, stored in rows}


def _stored(new: bool, mine: bytes, held: _Held) -> StoredAction:
    rows, stored = held
    return StoredAction(new, rows, () if new else differing(mine, stored))


def _said(actions: Sequence[tuple[Feedback, bytes]]) -> list[dict[str, object]]:
    return [
        {
            "number": number, "caller": action.caller, "key": action.idempotency_key,
            "fingerprint": rf"\x{mine.hex()}", "rows": action.rows(),
            "recommendation": action.recommendation_id, "who": action.user_id,
            "version": action.model_version, "arm": action.arm,
            **({} if action.at is None else {"happened": action.at.isoformat()}),
        }
        for number, (action, mine) in enumerate(actions)
    ]  # fmt: skip


def _words(actions: Sequence[Feedback]) -> list[dict[str, object]]:
    """A reaction has a score, a wish an end."""
    words: list[dict[str, object]] = []
    for number, action in enumerate(actions):
        said = [{"action": number, "playlist": id_, "score": score} for id_, score in action.reactions()]
        if action.picked_by:
            said = [{**word, "picked": action.picked_by.get(str(word["playlist"]))} for word in said]
        words += said
        words += [{"action": number, "playlist": w.playlist_id, "until": w.until.isoformat()} for w in action.snoozes]
    return words
