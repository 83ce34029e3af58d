"""The background writer of impressions: a bounded queue, a COPY per batch, every loss counted with its reason."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.store.actions import Origin
from spotify_buddies.serve_app.store.database.connections import Connections
from spotify_buddies.serve_app.store.database.schema import Schema
from spotify_buddies.serve_app.store.impressions.copy_format import COLUMNS, HEADER, TRAILER, CopyEncoder
from spotify_buddies.serve_app.store.rights.known import Erased
from spotify_buddies.serve_app.telemetry.metrics import Telemetry
from spotify_buddies.serve_app.telemetry.redact import cause

# Lists of one COPY, and of one turn on the event loop, which takes about a millisecond.
BATCH = 5_000
AT_ONCE = 500
# The pause between two writes, so that single answers share one; at least as long as the last write took.
PAUSE_S = 0.1
RETRY_S = (0.2, 2.0)
_COPY = f"COPY impressions ({', '.join(COLUMNS)}) FROM STDIN BINARY"
_WRITTEN = "SELECT EXISTS (SELECT FROM impressions WHERE user_id = %s AND at = %s AND recommendation_id = %s)"
_log = logging.getLogger(__name__)


@dataclass
class _Batch:
    """Answers that are written together.

    uncertain: the connection was lost, and the batch may be committed. again: it was not refused before.
    """

    answers: list[Shown]
    uncertain: bool = False
    again: bool = True

    @property
    def lists(self) -> int:
        return sum(len(shown.user_ids) for shown in self.answers)


class Impressions:
    """Writes what is recorded; make it inside the running event loop, and `run` it there.

    most: lists that may wait. Beyond it the oldest are dropped: the newest matter to a user who asks again. erased:
    whose lists are not written.
    """

    def __init__(
        self, url: str, timeout_s: float, most: int, schema: Schema, telemetry: Telemetry, erased: Erased | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._most = most
        self._schema = schema
        self._telemetry = telemetry
        self._erased = erased or Erased(None)
        self._connections = Connections(url, timeout_s, 2)
        self._encoder = CopyEncoder()
        self._queue: deque[Shown] = deque()
        self._lists = 0
        self._writing: _Batch | None = None
        self._ready = asyncio.Event()
        self._away = False

    @property
    def waiting(self) -> int:
        """Lists that are recorded and not yet written."""
        return self._lists + (self._writing.lists if self._writing else 0)

    def warm_up(self) -> None:
        """Compile the kernels."""
        self._encoder.warm_up()

    def record(self, shown: Shown) -> None:
        """Take one answer; costs the same for one user and for a thousand."""
        self._queue.append(shown)
        self._lists += len(shown.user_ids)
        while self._lists > self._most:
            self._lose(self._queue.popleft(), "database_away" if self._away else "queue_full")
        self._ready.set()

    def unwritten(self, user_ids: Sequence[str], since: datetime) -> dict[int, list[str]]:
        """Playlists that were shown since then and wait to be written, by place in user_ids."""
        unwritten: dict[int, list[str]] = {}
        wanted: dict[str, list[int]] = {}
        for place, user_id in enumerate(user_ids):
            if user_id:
                wanted.setdefault(user_id, []).append(place)
        for shown in self._unwritten():
            if shown.at < since or wanted.keys().isdisjoint(shown.user_ids):
                continue
            for shown_place, user_id in enumerate(shown.user_ids):
                places = wanted.get(user_id, ())
                if places:
                    rows = shown.rows[shown_place, : shown.counts[shown_place]].tolist()
                    for place in places:
                        unwritten.setdefault(place, []).extend(shown.playlist_ids[row] for row in rows)
        return unwritten

    def origin_of(self, recommendation_id: str, user_id: str) -> Origin | None:
        """The origin of a list that waits to be written; None: no such list of this user waits."""
        for shown in self._unwritten():
            if recommendation_id in shown.recommendation_ids:
                place = shown.recommendation_ids.index(recommendation_id)
                return _origin(shown, place) if shown.user_ids[place] == user_id else None
        return None

    async def run(self) -> None:
        """Write batches until it is cancelled. A batch that cannot be written stays and is tried again."""
        retry_s = RETRY_S[0]
        while True:
            await self._ready.wait()
            started = time.monotonic()
            if await self._write():
                retry_s = RETRY_S[0]
                await asyncio.sleep(max(PAUSE_S, time.monotonic() - started))
            else:
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, RETRY_S[1])
            self._telemetry.set_impressions_waiting(self.waiting)

    async def close(self, within_s: float) -> None:
        """Write what waits, within this time; the rest counts as lost. Call it when `run` has ended."""
        try:
            async with asyncio.timeout(within_s):
                while self.waiting and await self._write():
                    pass
        except TimeoutError:
            _log.warning("impressions could not be written within %g s", within_s)
        for shown in self._unwritten():
            self._lose(shown, "shutdown")
        await self._connections.close_idle()

    def _unwritten(self) -> Iterator[Shown]:
        yield from self._writing.answers if self._writing else ()
        yield from self._queue

    def _lose(self, shown: Shown, reason: str) -> None:
        self._lists -= len(shown.user_ids)
        self._telemetry.count_impressions(reason, len(shown.user_ids))

    async def _write(self) -> bool:
        """Write the batch that failed last, or the next; False: it has to be tried again."""
        if self._writing is None:
            self._writing = self._take()
        batch = self._writing
        try:
            # The server ends what takes longer, but it may not answer at all.
            async with asyncio.timeout(2 * self._timeout_s):
                outcome = await self._send(batch)
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError, OSError) as error:
            self._away = batch.uncertain = True
            if self._schema.doubt(error):
                await self._connections.close_idle()
            _log.warning("impressions wait: %s", cause(error))
            return False
        except psycopg.Error as error:
            self._schema.doubt(error)
            if batch.again:
                # The tables are missing and will be created again, or a week was attached while the rows were sent.
                batch.again = False
                return False
            outcome = "refused"
            _log.error("%d impressions were refused: %s", batch.lists, cause(error))
        self._away = False
        self._telemetry.count_impressions(outcome, batch.lists)
        self._writing = None
        if not self._queue:
            self._ready.clear()
        return True

    def _take(self) -> _Batch:
        answers: list[Shown] = []
        lists = 0
        while self._queue and (not answers or lists + len(self._queue[0].user_ids) <= BATCH):
            shown = self._queue.popleft()
            lists += len(shown.user_ids)
            answers.append(self._encoder.fit(shown))
        self._lists -= lists
        if unstorable := lists - sum(len(shown.user_ids) for shown in answers):
            self._telemetry.count_impressions("unstorable", unstorable)
            _log.error("%d impressions have ids that Postgres cannot store", unstorable)
        return _Batch(answers)

    async def _send(self, batch: _Batch) -> str:
        await self._schema.ready()
        # An erasure waits for the end of this transaction, or is known in it.
        async with self._connections.take() as connection, connection.transaction():
            await self._leave_out_erased(connection, batch)
            if batch.uncertain and await self._is_written(connection, batch):
                return "written"
            async with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
                await copy.write(HEADER)
                for part in self._encoder.encode(batch.answers, AT_ONCE):
                    await copy.write(part)
                    await asyncio.sleep(0)
                await copy.write(TRAILER)
        return "written"

    async def _leave_out_erased(self, connection: psycopg.AsyncConnection, batch: _Batch) -> None:
        await self._erased.enter(connection)
        lists = batch.lists
        batch.answers = [self._erased.without(shown) for shown in batch.answers]
        if lost := lists - batch.lists:
            self._telemetry.count_impressions("erased", lost)

    async def _is_written(self, connection: psycopg.AsyncConnection, batch: _Batch) -> bool:
        """Whether the first list of the batch, and so all of it, was committed before the connection was lost."""
        first = next((shown for shown in batch.answers if shown.user_ids), None)
        if first is None:
            return True
        values = (first.user_ids[0], first.at, first.recommendation_ids[0])
        row = await (await connection.execute(_WRITTEN, values)).fetchone()
        return row is not None and bool(row[0])


def _origin(shown: Shown, place: int) -> Origin:
    teams: tuple[str, ...] = () if shown.picked_by is None else shown.picked_by[place]
    ids = [shown.playlist_ids[row] for row in shown.rows[place, : len(teams)].tolist()]
    return Origin(shown.model_version, shown.arm, dict(zip(ids, teams, strict=True)))
