"""A constant rate of calls that waits for nobody, with an account of who answered each.

Latencies count from the time at which a call was due, so that a service that stands still is not asked less for it.
Calls are sent once: what a client's retries would hide is counted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from spotify_buddies.clients.python import Arm, AsyncClient, BuddiesError, Recommendation, Retry, Skipped, Taste

TIMEOUT_S = 5.0
ONCE = Retry(attempts=1)
# Calls of which one describes a listener by songs, so that the neighbour index is part of what is swapped.
ONE_TASTE_IN = 8
PROBE_CALLERS, PROBE_S, WARM_UP_S = 16, 3.0, 2.0
# Between the first calls of two of them: other listeners, and not all tastes at once.
APART = 1_001
# Enough for a p99 within a minute; and what one process of callers can send on time.
SLOWEST, FASTEST = 20.0, 600.0


@dataclass(frozen=True)
class Call:
    """One call. at: when it was due, Unix time; latency_s: from then on. error: status name, empty when answered.

    cut: a step was left out of the answer.
    """

    at: float
    latency_s: float
    version: str = ""
    arm: Arm = Arm.NONE
    error: str = ""
    cut: bool = False

    @property
    def ended_at(self) -> float:
        """When it was answered, Unix time."""
        return self.at + self.latency_s


class Steady:
    """Asks for one listener at a time, at a rate, in a thread. `calls` grows as they end."""

    def __init__(
        self,
        address: str,
        user_ids: Sequence[str],
        tastes: Sequence[Taste],
        rate: float,
        *,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.calls: list[Call] = []
        self.rate = rate
        self._credentials = credentials
        self._address, self._user_ids, self._tastes = address, user_ids, tastes
        self._ended = threading.Event()
        self._broken: list[BaseException] = []

    @contextmanager
    def running(self) -> Iterator[Steady]:
        """Send calls until the block ends, and wait for their answers. An error that is not the service's ends it."""
        thread = threading.Thread(target=self._run, name="steady")
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()
        if self._broken:
            raise self._broken[0]

    def between(self, first: float, last: float) -> list[Call]:
        """The calls that were due in [first, last), Unix time, of those that have ended."""
        return [call for call in list(self.calls) if first <= call.at < last]

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._broken.append(error)

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        start, began = loop.time(), time.time()
        opened = AsyncClient(self._address, timeout_s=TIMEOUT_S, retry=ONCE, credentials=self._credentials)
        async with opened as client, asyncio.TaskGroup() as group:
            number = 0
            while not self._ended.is_set():
                due = start + number / self.rate
                await asyncio.sleep(max(0.0, due - loop.time()))
                group.create_task(self._call(client, number, due, began + due - start))
                number += 1

    async def _call(self, client: AsyncClient, number: int, due: float, at: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await _ask(client, number, self._user_ids, self._tastes)
        except BuddiesError as error:
            self.calls.append(Call(at, loop.time() - due, error=error.code))
            return
        error_code = found.error.code if found.error is not None else ""
        cut = Skipped.NEIGHBOUR_SEARCH in found.skipped
        self.calls.append(Call(at, loop.time() - due, found.model_version, found.arm, error_code, cut))


async def _ask(client: AsyncClient, number: int, user_ids: Sequence[str], tastes: Sequence[Taste]) -> Recommendation:
    """The call of this number: for a known listener, or one in ONE_TASTE_IN by songs."""
    if tastes and number % ONE_TASTE_IN == ONE_TASTE_IN - 1:
        (found,) = await client.recommend(tastes=[tastes[number % len(tastes)]])
    else:
        (found,) = await client.recommend([user_ids[number % len(user_ids)]])
    return found


def capacity(address: str, user_ids: Sequence[str], tastes: Sequence[Taste] = ()) -> float:
    """Calls a second, of the same kinds as Steady's, of PROBE_CALLERS callers who wait for each answer.

    BuddiesError: a call failed.
    """

    async def measure() -> float:
        answered = 0
        loop = asyncio.get_running_loop()
        first = loop.time() + WARM_UP_S
        last = first + PROBE_S

        async def caller(client: AsyncClient, number: int) -> None:
            nonlocal answered
            while (now := loop.time()) < last:
                await _ask(client, number, user_ids, tastes)
                answered += now >= first
                number += 1

        async with AsyncClient(address, timeout_s=TIMEOUT_S) as client, asyncio.TaskGroup() as group:
            for number in range(PROBE_CALLERS):
                group.create_task(caller(client, number * APART))
        return answered / PROBE_S

    return asyncio.run(measure())


def half_of(calls_per_s: float) -> float:
    """The rate of a drill: half of what was measured, within what makes sense."""
    return min(FASTEST, max(SLOWEST, calls_per_s / 2))


def errors_of(calls: Sequence[Call]) -> dict[str, int]:
    """Failed calls by status."""
    return dict(Counter(call.error for call in calls if call.error))


def unsigned(calls: Sequence[Call]) -> int:
    """Answers that do not say version and arm."""
    return sum(not call.error and (not call.version or call.arm is Arm.NONE) for call in calls)
