"""User-blocks of a window, read from the store's view `online_blocks`; the view is the contract, not its tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import psycopg

from spotify_buddies.trainer.retrain.window import Window

# The columns of the view that are read, in its order of time.
BLOCKS = {
    "at": pl.Datetime("us", "UTC"),
    "feedback_id": pl.Int64(),
    "recommendation_id": pl.String(),
    "user_id": pl.String(),
    "model_version": pl.String(),
    "arm": pl.String(),
    "liked": pl.List(pl.String()),
    "ignored": pl.List(pl.String()),
    "disliked": pl.List(pl.String()),
}
# The whole list, best first; null where it is not stored.
SHOWN = "shown"
_SCHEMA = {**BLOCKS, SHOWN: pl.List(pl.String())}
_READ = (
    f"SELECT {', '.join(f'b.{name}' for name in BLOCKS)}, p.playlist_ids"  # noqa: S608 - our own columns
    " FROM online_blocks b LEFT JOIN online_places p USING (recommendation_id, user_id)"
    " WHERE b.at >= %s AND b.at < %s ORDER BY b.at, b.feedback_id, recommendation_id, user_id"
)
_LATER = "SELECT count(*) FROM online_blocks WHERE at > %s"
_ERASURES = "SELECT coalesce(max(number), 0), count(*) FROM erasures"
_ERASED = "SELECT listener, key FROM erasures ORDER BY number"
_BATCH = 50_000
# Clocks of machines that are kept in time differ by less.
SKEW = timedelta(minutes=5)
# What a service writes when it is ready, and says there of a store that is configured.
ENDPOINTS, CONFIGURED = "serving.json", "configured"


class StoreError(Exception):
    """The store cannot be read; the message says what to do."""


def postgres_url(configured: str | None, state_dir: Path) -> str:
    """The configured Postgres, else the embedded one of the service in this state directory. StoreError: neither."""
    if configured:
        return configured
    try:
        address = json.loads((state_dir / ENDPOINTS).read_bytes()).get("postgres")
    except FileNotFoundError:
        address = None
    except (ValueError, AttributeError) as error:
        raise StoreError(
            f"{state_dir / ENDPOINTS} is not what a service writes ({error}); restart the service"
        ) from None
    if not isinstance(address, str) or address == CONFIGURED:
        raise StoreError(f"no Postgres is known in {state_dir}: start the service, or set BUDDIES_POSTGRES_URL")
    return address


@dataclass(frozen=True)
class Read:
    """The blocks of a window, ascending by time. later: how many there are from the future. erasures: newest number
    and count of erased listeners at that moment.
    """

    blocks: pl.DataFrame
    later: int
    erasures: tuple[int, int]


def read_erasures(url: str) -> tuple[int, int]:
    """Newest number and count of erased listeners now. StoreError."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            return _erasures(connection)
    except psycopg.Error as error:
        raise _unread(error) from error


def read_erased_listeners(url: str) -> list[tuple[bytes, bytes]]:
    """The hash of every erased listener, and the name of the hash's key. StoreError."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            if connection.execute("SELECT to_regclass('erasures')").fetchone() == (None,):
                return []
            return [(bytes(listener), bytes(key)) for listener, key in connection.execute(_ERASED).fetchall()]
    except psycopg.Error as error:
        raise _unread(error) from error


def read_blocks(url: str, window: Window) -> Read:
    """The blocks of a window.

    Rows stay with the server until they are asked for; here they take some 200 bytes each. All are of one moment of the
    database. StoreError: Postgres does not answer, or has no such view.
    """
    parts = [pl.DataFrame(schema=_SCHEMA)]
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            if connection.execute("SELECT to_regclass('online_blocks')").fetchone() == (None,):
                raise StoreError("the store has no feedback yet, or is of an earlier release; start the service once")
            with connection.cursor(name="blocks") as cursor:
                cursor.execute(_READ.encode(), (window.first, window.until))
                while rows := cursor.fetchmany(_BATCH):
                    parts.append(pl.DataFrame(rows, schema=_SCHEMA, orient="row"))
            (later,) = connection.execute(_LATER, (datetime.now(UTC) + SKEW,)).fetchone() or (0,)
            erasures = _erasures(connection)
    except psycopg.Error as error:
        raise _unread(error) from error
    return Read(pl.concat(parts, rechunk=True), int(later), erasures)


def _erasures(connection: psycopg.Connection) -> tuple[int, int]:
    ((newest, count),) = connection.execute(_ERASURES).fetchall()
    return int(newest), int(count)


def _unread(error: psycopg.Error) -> StoreError:
    first = str(error).partition("\n")[0]
    return StoreError(f"Postgres cannot be read ({first}); nothing was written, run the command again")
