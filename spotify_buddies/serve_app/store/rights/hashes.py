"""The hashes of erased listeners: for the next data set, and forgotten once no version needs them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import typer

from spotify_buddies.foundation.terminal.durations import moment
from spotify_buddies.serve_app.store.database.connections import parameters
from spotify_buddies.serve_app.store.rights.locks import IMPRESSIONS

CONNECT_S = 5.0
_READ = "SELECT encode(listener, 'hex'), encode(key, 'hex'), at FROM erasures ORDER BY number"


def read_hashes(url: str) -> dict[str, Any]:
    """{"at", "hash", "listeners": [{"listener", "key", "erased_at"}]}, oldest first. psycopg.Error."""
    with psycopg.connect(url, **parameters(url, CONNECT_S, None)) as connection:
        rows = connection.execute(_READ).fetchall()
    return {
        "at": datetime.now(UTC).isoformat(),
        "hash": "HMAC-SHA256 of the user id in UTF-8, in hex; key: the name of the key",
        "listeners": [{"listener": listener, "key": key, "erased_at": at.isoformat()} for listener, key, at in rows],
    }


def forget(url: str, before: datetime) -> int:
    """Delete erasures before a time; how many. Replicas notice within seconds. psycopg.Error."""
    with psycopg.connect(url, **parameters(url, CONNECT_S, None)) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (IMPRESSIONS,))
        return connection.execute("DELETE FROM erasures WHERE at < %s", (before,)).rowcount


def a_time(text: str) -> datetime:
    """A time in UTC where it says no zone. typer.BadParameter: it is none."""
    try:
        return moment(text)
    except ValueError:
        raise typer.BadParameter(f"--before: {text!r} is no time such as 2026-11-28T12:00") from None
