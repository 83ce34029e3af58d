"""Retries: after which errors, and how long to wait. Every call is safe to retry: reads are, and Feedback has a key."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from spotify_buddies.clients.python.errors import BuddiesError, ServerBusy, ServiceUnavailable


@dataclass(frozen=True)
class Retry:
    """Exponential backoff with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    attempts counts the first one: 1 never retries. The deadline of the call bounds all attempts together.
    """

    attempts: int = 4
    first_s: float = 0.05
    factor: float = 2.0
    longest_s: float = 2.0
    rng: random.Random = field(default_factory=random.Random)

    def wait_s(self, attempt: int, error: BuddiesError, left_s: float) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1), or None to give up.

        The server's own RetryInfo wins over our backoff. Gives up when the wait would outlast the deadline.
        """
        if attempt >= self.attempts or not isinstance(error, ServiceUnavailable | ServerBusy):
            return None
        ceiling = min(self.longest_s, self.first_s * self.factor ** (attempt - 1))
        wait = error.retry_after_s if error.retry_after_s is not None else self.rng.uniform(0, ceiling)
        return wait if wait < left_s else None
