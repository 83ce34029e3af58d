"""What the service reports: counters and latencies. How they reach Prometheus: ray_metrics.py."""

from __future__ import annotations

from typing import Protocol


class Telemetry(Protocol):
    """What the service reports."""

    def count_status(self, method: str, code: str) -> None:
        """One answered call of a method and its status code."""

    def count_lists(self, source: str, count: int) -> None:
        """Lists answered from one source."""

    def count_candidates(self, source: str, count: int) -> None:
        """Playlists answered that one source of candidates found; several may have found the same."""

    def count_cold(self, step: str, count: int) -> None:
        """Users without candidates of their own whom one step of the cold path answered, or failed to."""

    def count_searches(self, where: str, tastes: int) -> None:
        """Tastes whose nearest users were counted in the replica ("local"), or asked of the index ("index")."""

    def count_counterfactual(self, outcome: str, rankings: int) -> None:
        """A search for songs to leave out, by its outcome in lower case, and the lists that it computed."""

    def time_inference(self, seconds: float) -> None:
        """Seconds of a Recommend, from the decoded request to the ranked lists; for one user, to the encoded answer."""

    def count_feedback(self, outcome: str, count: int) -> None:
        """Feedbacks by outcome: accepted, duplicate, reused, unavailable."""

    def count_attribution(self, outcome: str, count: int) -> None:
        """Feedbacks without version or arm: resolved by the list they are about, or unresolved.

        late: reactions that were resolved by the upkeep.
        """

    def time_commit(self, seconds: float, actions: int) -> None:
        """One transaction that stored so many feedbacks."""

    def count_impressions(self, outcome: str, lists: int) -> None:
        """Lists written ("written") or lost: queue_full, database_away, refused, unstorable, shutdown."""

    def count_unasked(self, lists: int) -> None:
        """Lists that are remembered without what was asked, which was too long."""

    def set_impressions_waiting(self, lists: int) -> None:
        """Lists that wait to be written."""

    def set_blocks(self, count: int, size_bytes: int) -> None:
        """Blocks in memory and their bytes."""

    def count_follow(self, event: str) -> None:
        """Events of following the blocks of other replicas: loaded, caught_up, merged, lost."""

    def count_seen(self, outcome: str) -> None:
        """Questions for what users have seen: answered, unavailable."""

    def set_generation(self, number: int) -> None:
        """The rollout's generation that this replica serves."""

    def count_arm(self, arm: str, version: str, lists: int, errors: int) -> None:
        """Lists that one arm of the rollout answered, and those that it should have; from any thread."""


class Silent:
    """Reports nothing: for tests and for the plain server."""

    def count_status(self, method: str, code: str) -> None:
        """Nothing."""

    def count_lists(self, source: str, count: int) -> None:
        """Nothing."""

    def count_candidates(self, source: str, count: int) -> None:
        """Nothing."""

    def count_cold(self, step: str, count: int) -> None:
        """Nothing."""

    def count_searches(self, where: str, tastes: int) -> None:
        """Nothing."""

    def count_counterfactual(self, outcome: str, rankings: int) -> None:
        """Nothing."""

    def time_inference(self, seconds: float) -> None:
        """Nothing."""

    def count_feedback(self, outcome: str, count: int) -> None:
        """Nothing."""

    def count_attribution(self, outcome: str, count: int) -> None:
        """Nothing."""

    def time_commit(self, seconds: float, actions: int) -> None:
        """Nothing."""

    def count_impressions(self, outcome: str, lists: int) -> None:
        """Nothing."""

    def set_impressions_waiting(self, lists: int) -> None:
        """Nothing."""

    def count_unasked(self, lists: int) -> None:
        """Nothing."""

    def set_blocks(self, count: int, size_bytes: int) -> None:
        """Nothing."""

    def count_follow(self, event: str) -> None:
        """Nothing."""

    def count_seen(self, outcome: str) -> None:
        """Nothing."""

    def set_generation(self, number: int) -> None:
        """Nothing."""

    def count_arm(self, arm: str, version: str, lists: int, errors: int) -> None:
        """Nothing."""
