"""The state of a rollout as JSON values, for people and scripts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Report, Wanted
from spotify_buddies.serve_app.rollout.controller_state import ControllerState, read_state

EVENTS = 10
# A controller that has not said anything for this long is gone.
CONTROLLER_LIVE_S = 10.0


async def read_status(connection: psycopg.AsyncConnection) -> dict[str, Any]:
    """JSON values. generation: the newest; active: the one that replicas follow, null before the first; arms: of that
    one, with their counts; replicas that live; controller; registry; verdict of the gates; the last events, newest
    first.
    """
    newest = await ledger.read_newest(connection)
    active = await ledger.read_newest(connection, GenerationState.ACTIVE)
    known = await read_state(connection)
    counts = {} if active is None else await _counts(connection, active.number)
    return {
        "generation": None if newest is None else generation_json(newest),
        "active": None if active is None else generation_json(active),
        "arms": [] if active is None else _arms(active.wanted, counts),
        "replicas": [_replica(report) for report in await ledger.read_reports(connection)],
        "controller": _controller(known),
        "registry": _registry(known),
        "verdict": known.verdict if active is not None and known.verdict_generation == active.number else None,
        "events": [_plain(asdict(event)) for event in await ledger.read_events(connection, EVENTS)],
    }


async def read_history(connection: psycopg.AsyncConnection, limit: int) -> list[dict[str, Any]]:
    """Generations, newest first, each with what it changed: field -> [from, to]."""
    history = await ledger.read_history(connection, limit + 1)
    shown = []
    for place, generation in enumerate(history[:limit]):
        # A change starts from the newest generation that had not failed then.
        before = next((one for one in history[place + 1 :] if one.state is not GenerationState.FAILED), None)
        changed = _changes(None if before is None else before.wanted, generation.wanted)
        shown.append({**generation_json(generation), "changed": changed})
    return shown


def generation_json(generation: Generation) -> dict[str, Any]:
    """One generation as JSON values."""
    return _plain(asdict(generation))


def _changes(before: Wanted | None, after: Wanted) -> dict[str, list[Any]]:
    old = {} if before is None else asdict(before)
    new = {name: value for name, value in asdict(after).items() if name != "salt"}
    return {name: [old.get(name), value] for name, value in new.items() if value != old.get(name) and (old or value)}


def _arms(wanted: Wanted, counts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    arms: list[dict[str, Any]] = [{"arm": "production", "version": wanted.production, "share": 1 - wanted.share}]
    if wanted.canary is not None:
        # Drafted lists are production's too.
        how = {"interleave": True} if wanted.interleave else {}
        arms.append({"arm": "canary", "version": wanted.canary, "share": wanted.share, **how})
    if wanted.shadow is not None:
        arms.append({"arm": "shadow", "version": wanted.shadow, "share": 0.0})
    if wanted.previous is not None:
        arms.append({"arm": "previous", "version": wanted.previous, "share": 0.0})
    return [{**arm, "share": round(arm["share"], 6), **counts.get(arm["arm"], {})} for arm in arms]


async def _counts(connection: psycopg.AsyncConnection, generation: int) -> dict[str, dict[str, Any]]:
    cursor = await connection.execute(
        "SELECT arm, sum(listeners)::bigint, sum(errors)::bigint, sum(empty)::bigint, sum(cold)::bigint"
        " FROM rollout_counts WHERE generation = %s GROUP BY arm",
        (generation,),
    )
    names = ("listeners", "errors", "empty", "cold")
    return {arm: dict(zip(names, counts, strict=True)) for arm, *counts in await cursor.fetchall()}


def _replica(report: Report) -> dict[str, Any]:
    return {**_plain(asdict(report)), "age_s": round(report.age_s, 1)}


def _controller(known: ControllerState) -> dict[str, Any]:
    age_s = known.seen_age_s
    state = "never seen" if age_s is None else "works" if age_s < CONTROLLER_LIVE_S else "gone"
    return {"state": state, "seen_s_ago": None if age_s is None else round(age_s, 1)}


def _registry(known: ControllerState) -> dict[str, Any]:
    away = known.away_since
    state = "away" if away is not None else "here" if known.registry_seen_at is not None else "unknown"
    times = {"seen_at": known.registry_seen_at, "away_since": away}
    return {"state": state, **_plain(times), "message": known.message}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """The same with times as ISO 8601 and enumerations as their text."""
    return {name: _value(value) for name, value in values.items()}


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return _plain(value)
    if isinstance(value, str):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Iterable):
        return [_value(item) for item in value]
    return value
