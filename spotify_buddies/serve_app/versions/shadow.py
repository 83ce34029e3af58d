"""A version that ranks beside production, unseen: how much its lists differ, on live traffic.

Production's answers are offered after they are made; a thread of its own ranks the same listeners once more. Whatever
does not fit into the queue is lost and counted: nothing here holds up an answer.
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

from spotify_buddies.serve_app.ranking.lookup import Keys, find
from spotify_buddies.serve_app.ranking.query import Mode, RankedLists, Source
from spotify_buddies.serve_app.versions.answers import Answered, Answers, Batch
from spotify_buddies.serve_app.versions.counts import ArmCounter

Array = npt.NDArray[Any]

# Calls that may wait. Listeners of a call that are compared: the first ones, so that large calls cost as little.
WAITING = 256
LISTENERS = 64
_log = logging.getLogger(__name__)


class Shadow:
    """Compares the shadow with production in a daemon thread until it is closed.

    counts: of the lists that the shadow would have sent to listeners whom production answered live; compared: calls;
    overlap and drift: sums over those listeners.
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
        """Compare the known listeners of a live answer some time, or lose it. Never waits."""
        piece = answered.batches[0]
        if self._closed or piece.query.mode is not Mode.LIVE or not piece.query.user_ids:
            return
        try:
            self._queue.put_nowait(piece)
        except Full:
            self.counts.lost += 1

    def close(self) -> None:
        """Give up what waits and let the thread end after what it does now."""
        self._closed = True
        try:
            while True:
                self._queue.get_nowait()
        except Empty:
            self._queue.put_nowait(None)

    def join(self, within_s: float) -> bool:
        """Wait for the thread's end; whether it came."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None and not self._closed:
            count = min(len(piece.query.user_ids), LISTENERS)
            try:
                self._compare(piece, count)
            except Exception:  # noqa: BLE001 - counted, and the next call may do better
                self.counts.fail(count)
                if not self._failed:
                    self._failed = True
                    _log.exception("shadow %s fails; further failures are only counted", self.answers.version)

    def _compare(self, piece: Batch, count: int) -> None:
        query, engine = piece.query, self.answers.engine
        excluded = self.answers.exclude(query)
        rules = self.answers.rules(query, piece.blocked, 0, count)
        started = time.perf_counter()
        found = engine.rank_known(query.user_ids[:count], query.limit, excluded, rules)
        self.counts.time(time.perf_counter() - started)
        served = piece.ranked[0].lists
        # What production found elsewhere is not what a ranking of candidates can be compared with.
        live = np.flatnonzero(served.source_numbers[:count] == Source.LIVE)
        served, found = _take(served, live), _take(found, live)
        self.counts.add(found, np.bincount(found.source_numbers).tolist())
        overlap, drift = self._differ(served, found)
        self.counts.overlap += overlap
        self.counts.drift += drift
        self.counts.compared += 1

    def _differ(self, served: RankedLists, found: RankedLists) -> tuple[float, float]:
        """Sums over listeners: the share of playlists in both lists, and how far the scores of those are apart.

        Overlap: playlists in both lists over the longer one's length. Drift: the mean absolute difference of the scores
        of playlists that are in both, 0 without any, or where the shadow has no candidates for the listener.
        """
        rows = self._translate(served.rows)
        same = (rows[:, :, None] == found.rows[:, None, :]) & (rows >= 0)[:, :, None]
        shared = same.sum(axis=(1, 2))
        overlap = shared / np.maximum(1, np.maximum(served.counts, found.counts))
        apart = np.abs(served.scores[:, :, None] - found.scores[:, None, :])
        scored = (shared > 0) & (found.source_numbers == Source.LIVE)
        drift = np.divide((apart * same).sum(axis=(1, 2)), shared, out=np.zeros(len(found)), where=scored)
        return float(overlap.sum()), float(drift.sum())

    def _translate(self, rows: Array) -> Array:
        """Production's playlist rows as the shadow's, -1 where it has none: rows mean nothing outside their bundle."""
        known = np.unique(rows[rows >= 0])
        if not known.size:
            return np.full(rows.shape, -1)
        ids = self._production.engine.playlist_ids
        theirs = find(self.answers.engine.bundle.playlist_ids, Keys.of([ids[row] for row in known.tolist()]))
        at = np.minimum(np.searchsorted(known, rows), known.size - 1)
        return np.where(rows >= 0, theirs[at], -1)


def _take(lists: RankedLists, places: Array) -> RankedLists:
    """Some of the listeners, as far as they are compared."""
    chosen = places.tolist()
    return replace(
        lists,
        user_ids=tuple(lists.user_ids[at] for at in chosen),
        rows=lists.rows[places],
        scores=lists.scores[places],
        counts=lists.counts[places],
        sources=tuple(lists.sources[at] for at in chosen),
    )
