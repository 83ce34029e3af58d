"""The erased listeners as one process knows them: keyed hashes, looked up for next to nothing while there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg

from spotify_buddies.foundation.text.pseudonym import key_name, pseudonym
from spotify_buddies.serve_app.ranking.history import Shown

# Lists that were sent so soon after an erasure are not written either: calls in flight were ranked with what is erased,
# and clocks differ.
GRACE = timedelta(seconds=10)
# Ids remembered as not erased; then the memory begins again.
REMEMBERED = 1_000_000
_NOBODY: tuple[int, ...] = ()
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_ENTER = "SELECT newest, erased FROM enter_impressions()"
_ALL = "SELECT number, listener, at FROM erasures WHERE key = %s"


@dataclass(frozen=True)
class _Listeners:
    """When each was erased, by pseudonym. until: lists sent later are of nobody's past. clear: hashes of other ids."""

    erased_at: Mapping[bytes, datetime] = field(default_factory=dict)
    until: datetime = _LONG_AGO
    clear: set[int] = field(default_factory=set)


class Erased:
    """Who was erased. Any thread may ask; the event loop's changes it.

    key: of the hashes; None: nobody can be recognised. position: the newest erasure and their number, as read last.
    """

    def __init__(self, key: bytes | None) -> None:
        self._key = key
        self.key_name = None if key is None else key_name(key)
        self.position = (0, 0)
        self._known = _Listeners()

    def take(self, listeners: Mapping[bytes, datetime], position: tuple[int, int]) -> None:
        """Replace what is known. listeners: when each was erased, by pseudonym."""
        self.position = position
        self._known = _Listeners(listeners, max(listeners.values()) + GRACE) if listeners else _Listeners()

    def hidden(self, user_ids: Sequence[str]) -> Sequence[int]:
        """Places in user_ids of erased listeners, who are answered as if no version knew them."""
        if not self._known.erased_at:
            return _NOBODY
        return [place for place, user_id in enumerate(user_ids) if self._erased_at(user_id) is not None]

    def without(self, shown: Shown) -> Shown:
        """The answer without the lists that were sent to listeners who were erased since; mostly the answer itself."""
        if shown.at >= self._known.until:
            return shown
        kept = [place for place, user_id in enumerate(shown.user_ids) if not self._gone(user_id, shown.at)]
        return shown if len(kept) == len(shown.user_ids) else shown.take(kept)

    async def enter(self, connection: psycopg.AsyncConnection) -> None:
        """Begin to write impressions in the connection's transaction: every erasure before it is known afterwards."""
        (position,) = await (await connection.execute(_ENTER, prepare=True)).fetchall()
        if position != self.position:
            await self.read(connection, position)

    async def read(self, connection: psycopg.AsyncConnection, position: tuple[int, int]) -> None:
        """Read all erasures. position: as it was found before, so that what comes between is read again."""
        rows = await (await connection.execute(_ALL, (self.key_name or b"",))).fetchall()
        self.take({bytes(listener): at for _, listener, at in rows}, position)

    def _gone(self, user_id: str, shown_at: datetime) -> bool:
        erased_at = self._erased_at(user_id)
        return erased_at is not None and shown_at < erased_at + GRACE

    def _erased_at(self, user_id: str) -> datetime | None:
        known = self._known
        if self._key is None or not user_id or hash(user_id) in known.clear:
            return None
        erased_at = known.erased_at.get(pseudonym(self._key, user_id))
        if erased_at is None:
            if len(known.clear) >= REMEMBERED:
                known.clear.clear()
            known.clear.add(hash(user_id))
        return erased_at
