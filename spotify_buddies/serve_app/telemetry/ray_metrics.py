"""Counters and latencies through Ray's metrics (Prometheus), in a replica or worker."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

FLUSH_S = 1.0
SAMPLED = 8


class RayTelemetry:
    """Ray's metrics, scraped from the node's metrics port with the replica as a tag.

    One call of Ray's costs about as much as looking up a user. So counts are kept here and handed on every FLUSH_S
    (`flushing`), and one of SAMPLED latencies is observed. All but time_inference and count_arm on one thread.
    """

    def __init__(self) -> None:
        from ray.serve import metrics

        self._counted: defaultdict[tuple[Any, tuple[tuple[str, str], ...]], int] = defaultdict(int)
        self._turns = itertools.count()
        self._requests = metrics.Counter(
            "inference_requests_total",
            description="Answered calls by method and status code",
            tag_keys=("method", "code"),
        )
        self._lists = metrics.Counter(
            "inference_lists_total", description="Lists answered, by where they came from", tag_keys=("source",)
        )
        self._candidates = metrics.Counter(
            "inference_candidates_total",
            description="Playlists answered, by the source of candidates that found them; several may find the same",
            tag_keys=("source",),
        )
        self._cold = metrics.Counter("cold_user_total", description="Lists for users without a pairing")
        self._steps = metrics.Counter(
            "cold_steps_total",
            description="Steps of the cold path: what answered a user without candidates, and what failed before",
            tag_keys=("step",),
        )
        self._searches = metrics.Counter(
            "taste_searches_total",
            description="Tastes by where their nearest users were searched: in the replica, or by the neighbour index",
            tag_keys=("where",),
        )
        self._counterfactuals = metrics.Counter(
            "counterfactuals_total", description="Searches for songs to leave out, by outcome", tag_keys=("outcome",)
        )
        self._rankings = metrics.Counter(
            "counterfactual_rankings_total", description="Lists computed in searches for songs to leave out"
        )
        self._seconds = metrics.Histogram(
            "inference_time_seconds",
            description="Seconds from the decoded request to the ranked lists, of one request in eight",
            boundaries=[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0],
        )
        self._add_feedback()
        self._add_store()

    def _add_feedback(self) -> None:
        from ray.serve import metrics

        self._feedback = metrics.Counter(
            "feedback_total", description="Feedbacks by what became of them", tag_keys=("outcome",)
        )
        self._attribution = metrics.Counter(
            "feedback_attribution_total",
            description="Feedbacks whose caller did not say version and arm, by whether their list was found",
            tag_keys=("outcome",),
        )
        self._commit_seconds = metrics.Histogram(
            "feedback_commit_seconds",
            description="Seconds of one transaction that stores feedbacks",
            boundaries=[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0],
        )
        self._batch = metrics.Histogram(
            "feedback_commit_actions",
            description="Feedbacks in one transaction",
            boundaries=[1, 2, 4, 8, 16, 32, 64],
        )

    def _add_store(self) -> None:
        """The other metrics of the store, and those of the rollout."""
        from ray.serve import metrics

        self._impressions = metrics.Counter(
            "impressions_total", description="Lists written to the store, or lost and why", tag_keys=("outcome",)
        )
        self._unasked = metrics.Counter(
            "impressions_unasked_total", description="Lists stored without what was asked, which was too long"
        )
        self._waiting = metrics.Gauge("impressions_waiting", description="Lists that wait to be written")
        self._blocks = metrics.Gauge("blocks_held", description="Playlists that must not come back, in memory")
        self._blocks_bytes = metrics.Gauge("blocks_bytes", description="Memory of the blocks, in bytes")
        self._follow = metrics.Counter(
            "blocks_follow_total", description="Loads, catch-ups and losses of the feed of blocks", tag_keys=("event",)
        )
        self._seen = metrics.Counter(
            "seen_total", description="Questions for what users have seen", tag_keys=("outcome",)
        )
        self._generation = metrics.Gauge("rollout_generation", description="The generation that this replica serves")
        self._arm_lists, self._arm_errors = (
            metrics.Counter(f"rollout_{what}_total", description=description, tag_keys=("arm", "version"))
            for what, description in (
                ("lists", "Lists by the arm that answered; of a shadow, lists compared"),
                ("errors", "Users whom an arm should have answered and could not"),
            )
        )

    def count_status(self, method: str, code: str) -> None:
        """Add one call."""
        self._counted[self._requests, (("method", method.removesuffix("Response")), ("code", code))] += 1

    def count_lists(self, source: str, count: int) -> None:
        """Add lists; those that did not come from a pairing also count as cold."""
        self._counted[self._lists, (("source", source),)] += count
        if source in ("COLD_NEIGHBOURS", "POPULAR_IN_GENRE", "POPULAR"):
            self._counted[self._cold, ()] += count

    def count_candidates(self, source: str, count: int) -> None:
        """Add playlists."""
        self._counted[self._candidates, (("source", source),)] += count

    def count_cold(self, step: str, count: int) -> None:
        """Add users."""
        self._counted[self._steps, (("step", step),)] += count

    def count_searches(self, where: str, tastes: int) -> None:
        """Add tastes."""
        self._counted[self._searches, (("where", where),)] += tastes

    def count_counterfactual(self, outcome: str, rankings: int) -> None:
        """Add a search and its lists."""
        self._counted[self._counterfactuals, (("outcome", outcome),)] += 1
        self._counted[self._rankings, ()] += rankings

    def time_inference(self, seconds: float) -> None:
        """Observe one request of SAMPLED; from any thread."""
        if next(self._turns) % SAMPLED == 0:
            self._seconds.observe(seconds)

    def count_feedback(self, outcome: str, count: int) -> None:
        """Add feedbacks."""
        self._counted[self._feedback, (("outcome", outcome),)] += count

    def count_attribution(self, outcome: str, count: int) -> None:
        """Add feedbacks or, for late, reactions."""
        self._counted[self._attribution, (("outcome", outcome),)] += count

    def time_commit(self, seconds: float, actions: int) -> None:
        """Observe one transaction."""
        self._commit_seconds.observe(seconds)
        self._batch.observe(actions)

    def count_impressions(self, outcome: str, lists: int) -> None:
        """Add lists."""
        self._counted[self._impressions, (("outcome", outcome),)] += lists

    def count_unasked(self, lists: int) -> None:
        """Add lists."""
        self._counted[self._unasked, ()] += lists

    def set_impressions_waiting(self, lists: int) -> None:
        """Set the number of lists."""
        self._waiting.set(lists)

    def set_blocks(self, count: int, size_bytes: int) -> None:
        """Set both."""
        self._blocks.set(count)
        self._blocks_bytes.set(size_bytes)

    def count_follow(self, event: str) -> None:
        """Add one."""
        self._counted[self._follow, (("event", event),)] += 1

    def count_seen(self, outcome: str) -> None:
        """Add one."""
        self._counted[self._seen, (("outcome", outcome),)] += 1

    def set_generation(self, number: int) -> None:
        """Set it."""
        self._generation.set(number)

    def count_arm(self, arm: str, version: str, lists: int, errors: int) -> None:
        """Add both; a replica does so about once a second."""
        tags = {"arm": arm, "version": version}
        for counter, count in ((self._arm_lists, lists), (self._arm_errors, errors)):
            if count:
                counter.inc(count, tags=tags)

    def flush(self) -> None:
        """Hand on what was counted since the last time."""
        counted, self._counted = self._counted, defaultdict(int)
        for (counter, tags), count in counted.items():
            if count:  # a counter refuses 0
                counter.inc(count, tags=dict(tags))

    async def flush_forever(self) -> None:
        """Do so every FLUSH_S; on cancellation once more."""
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                self.flush()
        finally:
            self.flush()


@asynccontextmanager
async def flushing(telemetry: RayTelemetry) -> AsyncIterator[RayTelemetry]:
    """Hand counts on every FLUSH_S, and once more when the block has ended: open before what counts while it closes."""
    task = asyncio.create_task(telemetry.flush_forever())
    try:
        yield telemetry
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        # A task that was cancelled before it began has not flushed.
        telemetry.flush()
