"""The shadow: a version that ranks live traffic beside production, unseen, to show how much its lists differ.

Production's answers are offered after they are made, and the shadow's own thread ranks the same users again. What does
not fit into the queue is lost and counted: nothing here delays an answer.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from queue import Empty, Full, Queue
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.ranking.encoding import Answered, Batch
from spotify_buddies.serve_app.ranking.lookup import Keys, find
from spotify_buddies.serve_app.ranking.query import Mode, RankedLists, Source
from spotify_buddies.serve_app.versions.answers import Answers
from spotify_buddies.serve_app.versions.counts import ArmCounter

Array = npt.NDArray[Any]

# Calls that may wait; users of a call that are compared. The first ones are, so that a large call costs no more.
WAITING = 256
USERS = 64
_log = logging.getLogger(__name__)


class Shadow:
    """Compares the shadow with production in a daemon thread until it is closed.

    counts: of the lists that the shadow would have sent to users whom production answered live; compared: calls;
    overlap and drift: sums over those users.
    """

    def __init__(self, production: Answers, shadow: Answers, counts: ArmCounter) -> None:
        self.answers, self.counts = shadow, counts
        self._production = production
        self._queue: Queue[Batch | None] = Queue(WAITING)
        self._closed = False
        self._failed = False
        self._thread = threading.Thread(target=self._run, name=f"shadow-{shadow.version}", daemon=True)
        self._thread.start()

    def offer(self, answered: Answered) -> None:
        """Queue the known users of a live answer for the comparison, or lose it. Never waits."""
        batch = answered.batches[0]
        if self._closed or batch.query.mode is not Mode.LIVE or not batch.query.user_ids:
            return
        try:
            self._queue.put_nowait(batch)
        except Full:
            self.counts.lost += 1

    def close(self) -> None:
        """Drop what waits, and end the thread after its current comparison."""
        self._closed = True
        try:
            while True:
                self._queue.get_nowait()
        except Empty:
            self._queue.put_nowait(None)

    def join(self, within_s: float) -> bool:
        """Wait for the thread's end; returns whether it came."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None and not self._closed:
            count = min(len(batch.query.user_ids), USERS)
            try:
                self._compare(batch, count)
            except Exception:  # noqa: BLE001 - counted, and the next call may do better
                self.counts.fail(count)
                if not self._failed:
                    self._failed = True
                    _log.exception("shadow %s fails; further failures are only counted", self.answers.version)

    def _compare(self, batch: Batch, count: int) -> None:
        query, engine = batch.query, self.answers.engine
        excluded = self.answers.exclude(query)
        rules = self.answers.rules(query, batch.blocked, 0, count)
        started = time.perf_counter()
        ranked = engine.rank_known(query.user_ids[:count], query.limit, excluded, rules)
        self.counts.time(time.perf_counter() - started, count)
        served = batch.ranked[0].lists
        if batch.exploration is not None:
            # Compared is what both rank, not what was drawn of it.
            rules = self._production.rules(query, batch.blocked, 0, count)
            rows = self._production.exclude(query)
            served = self._production.engine.rank_known(query.user_ids[:count], query.limit, rows, rules)
        # Lists that production took from elsewhere (daily, cold, popular) are no ranking of candidates.
        live = np.flatnonzero(served.source_numbers[:count] == Source.LIVE)
        served, ranked = _take(served, live), _take(ranked, live)
        self.counts.add(ranked, np.bincount(ranked.source_numbers).tolist())
        overlap, drift = self._differ(served, ranked)
        self.counts.overlap += overlap
        self.counts.drift += drift
        self.counts.compared += 1

    def _differ(self, served: RankedLists, ranked: RankedLists) -> tuple[float, float]:
        """Sums over users: the overlap of both lists, and the drift of their scores.

        Overlap: playlists in both lists over the longer one's length. Drift: the mean absolute difference of the scores
        of playlists that are in both; 0 without any, or where the shadow has no candidates for the user.
        """
        rows = self._translate(served.rows)
        # All pairs of two short lists, (users, served, ranked). Rows are padded with -1, which equals no playlist.
        same = (rows[:, :, None] == ranked.rows[:, None, :]) & (rows >= 0)[:, :, None]
        shared = same.sum(axis=(1, 2))
        overlap = shared / np.maximum(1, np.maximum(served.counts, ranked.counts))
        apart = np.abs(served.scores[:, :, None] - ranked.scores[:, None, :])
        scored = (shared > 0) & (ranked.source_numbers == Source.LIVE)
        drift = np.divide((apart * same).sum(axis=(1, 2)), shared, out=np.zeros(len(ranked)), where=scored)
        return float(overlap.sum()), float(drift.sum())

    def _translate(self, rows: Array) -> Array:
        """Production's playlist rows as the shadow's, -1 where it has none: rows are numbers of one bundle."""
        known = np.unique(rows[rows >= 0])
        if not known.size:
            return np.full(rows.shape, -1)
        ids = self._production.engine.playlist_ids
        theirs = find(self.answers.engine.bundle.playlist_ids, Keys.of([ids[row] for row in known.tolist()]))
        # The row -1 sorts before all of `known`; it gets a valid place here, and -1 again below.
        known_places = np.minimum(np.searchsorted(known, rows), known.size - 1)
        return np.where(rows >= 0, theirs[known_places], -1)


def _take(lists: RankedLists, places: Array) -> RankedLists:
    """The lists of some users, with the fields that are compared."""
    chosen = places.tolist()
    return replace(
        lists,
        user_ids=tuple(lists.user_ids[place] for place in chosen),
        rows=lists.rows[places],
        scores=lists.scores[places],
        counts=lists.counts[places],
        sources=tuple(lists.sources[place] for place in chosen),
    )
