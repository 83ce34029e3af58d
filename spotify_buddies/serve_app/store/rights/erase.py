"""The erasure of a listener everywhere, and the receipt for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from redis.exceptions import RedisError

from spotify_buddies.foundation.addresses import scrubbed
from spotify_buddies.foundation.text.lines import first_line
from spotify_buddies.foundation.text.pseudonym import key_name, pseudonym
from spotify_buddies.serve_app.store.rights.jobs import erase_jobs
from spotify_buddies.serve_app.store.rights.lists import daily_lists, erase_list
from spotify_buddies.serve_app.store.rights.places import Places
from spotify_buddies.serve_app.store.rights.replicas import Confirmations, wait_for
from spotify_buddies.serve_app.store.rights.rows import erase_rows

# Processes learn of an erasure within a notification; blocks that have to be loaded again take longer.
CONFIRM_WITHIN_S = 15.0


@dataclass
class Receipt:
    """What was erased, when, and what is left; it names nobody but by the pseudonym.

    listener: the pseudonym, in hex. key: the name of its key. rows: deleted or emptied entries, by place. confirmed:
    processes that honour the erasure, as of confirmed_at. left: sentences; none: nothing is left for a repetition.
    notes: what stays, and until when, whoever repeats it.
    """

    listener: str
    key: str
    erased_at: datetime
    number: int
    rows: dict[str, Mapping[str, int]]
    confirmed: tuple[str, ...] = ()
    confirmed_at: datetime | None = None
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing is left for a repetition."""
        return not self.left

    def to_json(self) -> dict[str, Any]:
        """For json.dumps."""
        return {
            "listener": self.listener, "key": self.key, "erased_at": self.erased_at.isoformat(),
            "number": self.number, "rows": {place: dict(rows) for place, rows in self.rows.items()},
            "confirmed": list(self.confirmed),
            "confirmed_at": None if self.confirmed_at is None else self.confirmed_at.isoformat(),
            "left": self.left, "notes": self.notes, "complete": self.complete,
        }  # fmt: skip


def erase(places: Places, user_id: str, *, within_s: float = CONFIRM_WITHIN_S) -> Receipt:
    """Erase a listener, first in Postgres, which also tells every process that answers; then wherever else.

    within_s: longest wait for those processes. Safe to repeat, also after the listener came back, whose new history is
    then erased. psycopg.Error: Postgres is away, and nothing is done. What else is away is said in Receipt.left.
    """
    listener, key = pseudonym(places.key, user_id), key_name(places.key)
    done = erase_rows(places.postgres_url, user_id, listener, key)
    receipt = Receipt(listener.hex(), key.hex(), done.at, done.number, {"postgres": done.rows})
    with _said(receipt, "Redis"):
        if places.redis_url is not None:
            receipt.rows["redis"] = _in_redis(places, user_id, receipt)
    with _said(receipt, "an extract"):
        receipt.rows["extracts"] = _in_extracts(places, user_id, receipt)
    with _said(receipt, "Postgres"):
        _confirm(receipt, wait_for(places.postgres_url, done.number, key, within_s))
    if places.redis_url is not None and "redis" in receipt.rows:
        with _said(receipt, "Redis"):
            # A worker that had taken a job may have answered it since.
            _add(receipt, places, user_id)
    receipt.notes.append(
        "bundles, the data set and raw files keep what they were made of: replicas answer as if they knew nothing of "
        "the listener until a version without them serves (docs/privacy.md)"
    )
    return receipt


def _in_redis(places: Places, user_id: str, receipt: Receipt) -> dict[str, int]:
    with places.redis() as redis:
        counts = {"daily_lists": 0, **erase_jobs(redis, user_id)}
        for one in daily_lists(redis, user_id, places.finder()):
            if one.bundle is None:
                receipt.notes.append(
                    f"a list of the day of version {one.version}, {one.day}, may stay until {one.expires}: it holds no "
                    "id, its bundle is not on this machine, and nobody reads it"
                )
            else:
                counts["daily_lists"] += erase_list(redis, one)
    return counts


def _add(receipt: Receipt, places: Places, user_id: str) -> None:
    with places.redis() as redis:
        again = erase_jobs(redis, user_id)
    before = receipt.rows["redis"]
    receipt.rows["redis"] = {name: count + again.get(name, 0) for name, count in before.items()}


def _in_extracts(places: Places, user_id: str, receipt: Receipt) -> dict[str, int]:
    if places.extracts is None:
        return {}
    from spotify_buddies.serve_app.store.rights.extracts import erase_extracts, still_in

    done = erase_extracts(places.extracts, user_id)
    receipt.left += [
        f"{path} holds the id and is no Parquet file with a column user_id; remove it, or make it again"
        for path in still_in(places.extracts, user_id)
    ]
    return done


def _confirm(receipt: Receipt, found: Confirmations) -> None:
    receipt.confirmed, receipt.confirmed_at = found.confirmed, datetime.now(UTC)
    receipt.left += found.pending


@contextmanager
def _said(receipt: Receipt, what: str) -> Iterator[None]:
    """Write what fails into the receipt: the rest is done all the same."""
    try:
        yield
    except (RedisError, OSError, psycopg.Error, ValueError) as error:
        why = scrubbed(first_line(error)) or type(error).__name__
        receipt.left.append(f"{what} failed ({why}); repeat the command when it is back")
