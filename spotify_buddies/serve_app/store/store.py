"""The store: one object over Postgres for Feedback and for the ranking's History."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from spotify_buddies.serve_app.errors import HistoryUnavailable
from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.store.actions import Change, Feedback, StoredAction
from spotify_buddies.serve_app.store.attribution import Attribution, is_attributed
from spotify_buddies.serve_app.store.blocklist import Blocklist
from spotify_buddies.serve_app.store.database.maintain import Maintenance, Retention
from spotify_buddies.serve_app.store.database.schema import Schema
from spotify_buddies.serve_app.store.follow import BlocklistFollower
from spotify_buddies.serve_app.store.impressions.writer import Impressions
from spotify_buddies.serve_app.store.reactions import Batching, Reactions
from spotify_buddies.serve_app.store.rights.follow import ErasureFollower
from spotify_buddies.serve_app.store.rights.known import Erased
from spotify_buddies.serve_app.store.seen import SeenReader
from spotify_buddies.serve_app.telemetry.metrics import Silent, Telemetry

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreSettings:
    """Limits. timeout_s: longest wait for a commit. seen_s: budget of `seen`. impressions_waiting: lists that may wait.

    attribution_s: longest delay of a commit by looking for version and arm. load_s: longest wait for the blocks at the
    start. flush_s: longest wait for the impressions at the end.
    """

    timeout_s: float = 1.5
    seen_s: float = 0.02
    attribution_s: float = 0.25
    impressions_waiting: int = 100_000
    load_s: float = 10.0
    flush_s: float = 2.0
    batching: Batching = field(default_factory=Batching)
    retention: Retention = field(default_factory=Retention)


class Store:
    """Feedback and History over Postgres; make and use it inside one event loop, as `async with`.

    An unreachable database stops nothing: Feedback and `seen` raise, impressions wait, and blocks are those known so
    far. Wishes and dislikes hold in this process when `store` returns, and in others as soon as they are notified.
    """

    def __init__(
        self,
        url: str,
        settings: StoreSettings | None = None,
        telemetry: Telemetry | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
        erasure_key: bytes | None = None,
        name: str = "",
    ) -> None:
        """clock: when feedback counts as happened; None: the database's clock.

        erasure_key: of the hashes of erased listeners; None: they are not recognised. name: under which this process
        confirms erasures, unique; empty: a random one.
        """
        self._settings = settings = settings or StoreSettings()
        self._telemetry = telemetry or Silent()
        timeout_s = settings.timeout_s
        self._schema = Schema(url, timeout_s)
        self._blocks = Blocklist()
        self._reactions = Reactions(
            url, timeout_s, self._schema, self._apply, self._telemetry, batching=settings.batching, clock=clock
        )
        self._erased = Erased(erasure_key)
        self._impressions = Impressions(
            url, timeout_s, settings.impressions_waiting, self._schema, self._telemetry, self._erased
        )
        self._attribution = Attribution(url, settings.attribution_s, self._schema, self._impressions.origin_of)
        self._seen = SeenReader(url, timeout_s, settings.seen_s, self._schema)
        self.follower = BlocklistFollower(url, timeout_s, self._schema, self._blocks, self._telemetry)
        self._erasures = ErasureFollower(
            url, timeout_s, self._schema, name or uuid.uuid4().hex, self._erased, self._blocks.forget,
            self.follower.reload,
        )  # fmt: skip
        self._maintenance = Maintenance(url, timeout_s, self._schema, settings.retention, self._telemetry)
        self._background: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._impressions.warm_up)
        works: tuple[Coroutine[Any, Any, None], ...] = (
            self._erasures.run(), self._follow_blocks(), self._impressions.run(), self._maintenance.run(),
        )  # fmt: skip
        self._background = [asyncio.create_task(work) for work in works]
        try:
            async with asyncio.timeout(self._settings.load_s):
                await self.follower.tried.wait()
            if self.follower.ready.is_set():
                await self._seen.warm_up()
        except TimeoutError:
            _log.warning("no blocks were loaded within %g s; the service starts without them", self._settings.load_s)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Write what waits, for a bounded time, and close every connection."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self._background = []
        await self._impressions.close(self._settings.flush_s)
        await self._attribution.close()
        await self._reactions.close()
        await self._seen.close()
        await self._erasures.close()
        await self._schema.close()

    @property
    def impressions_waiting(self) -> int:
        """Lists that are recorded and not yet written."""
        return self._impressions.waiting

    async def store(self, feedback: Feedback) -> StoredAction:
        """Commit one action and honour it; safe to repeat with the same key. FeedbackUnavailable within timeout_s.

        An action without model version or arm gets those of the list it is about, where that is known by now.
        """
        if is_attributed(feedback):
            return await self._reactions.store(feedback)
        attributed = await self._attribution.attribute(feedback)
        stored = await self._reactions.store(attributed)
        if stored.new:
            self._telemetry.count_attribution("resolved" if is_attributed(attributed) else "unresolved", 1)
        return stored

    def blocked(self, user_ids: Sequence[str], now: datetime) -> Mapping[int, Sequence[str]]:
        """As History.blocked."""
        return self._blocks.find(user_ids, now.timestamp())

    def erased(self, user_ids: Sequence[str]) -> Sequence[int]:
        """As History.erased."""
        return self._erased.hidden(user_ids)

    async def seen(
        self, user_ids: Sequence[str], since: datetime, *, shown: bool, liked: bool
    ) -> Mapping[int, Sequence[str]]:
        """As History.seen, including lists that wait in this process. Users without an id have met nothing."""
        # What waits comes first: a list that is written between the two is then in both, not in neither.
        seen = self._impressions.unwritten(user_ids, since) if shown else {}
        known = [user_id for user_id in dict.fromkeys(user_ids) if user_id]
        if not known:
            return seen
        try:
            met = dict(await self._seen.ask(known, since, shown=shown, liked=liked))
        except HistoryUnavailable:
            self._telemetry.count_seen("unavailable")
            raise
        self._telemetry.count_seen("answered")
        for place, user_id in enumerate(user_ids):
            playlists = met.get(user_id)
            if playlists:
                seen[place] = list(dict.fromkeys([*seen.get(place, ()), *playlists]))
        return seen

    def record(self, shown: Shown) -> None:
        """As History.record."""
        self._impressions.record(shown)

    async def _follow_blocks(self) -> None:
        # Erasures before the blocks: what of them is not notified must not be in blocks that are loaded.
        await self._erasures.tried.wait()
        await self.follower.run()

    def _apply(self, changes: Sequence[Change]) -> None:
        self._blocks.apply(changes)
