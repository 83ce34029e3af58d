"""Traffic at a steady rate, with an account of every call.

Calls follow a schedule that waits for nobody, and latency counts from the scheduled time: a service that hangs is
not asked less for it (coordinated omission, https://www.scylladb.com/2021/04/22/on-coordinated-omission/).
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from spotify_buddies.clients.python import (
    Arm,
    AsyncClient,
    BuddiesError,
    Mode,
    Recommendation,
    Retry,
    Skipped,
    Song,
    Source,
    Taste,
)

TIMEOUT_S = 5.0
ONCE = Retry(attempts=1)
PROBE_CALLERS, PROBE_S, WARM_UP_S = 16, 3.0, 2.0
# Between the first calls of two probing callers: other users, and not all tastes at once.
APART = 1_001
# Enough for a p99 within a minute; and what one process of callers can send on time.
SLOWEST, FASTEST = 20.0, 600.0
# Collections of the second generation until a full one.
NEVER = 10**9


@dataclass(frozen=True)
class Users:
    """On whose behalf calls are made. user_ids: users that the model knows. tastes: of users described by songs."""

    user_ids: Sequence[str]
    tastes: Sequence[Taste] = ()

    @classmethod
    def of(cls, listed: Sequence[Mapping[str, Any]]) -> Users:
        """From the output of `buddies data listeners --json`. ValueError: it names nobody."""
        if not listed:
            raise ValueError("the data set has no users")
        tastes = [Taste([Song(**song) for song in user["songs"]]) for user in listed]
        return cls([str(user["user_id"]) for user in listed], [taste for taste in tastes if taste.songs])


@dataclass(frozen=True)
class Mix:
    """The kinds of calls: one Recommend in `taste_every` is by songs, one in `daily_every` for the list of the day.

    feedback_every: one Recommend for a known user in so many is followed by a Feedback, a call more. 0: none.
    """

    taste_every: int = 8
    daily_every: int = 0
    feedback_every: int = 0

    def by_songs(self, number: int) -> bool:
        """Whether the call of this number is by songs."""
        return self.taste_every > 0 and number % self.taste_every == self.taste_every - 1

    def of_the_day(self, number: int) -> bool:
        """Whether it asks for the list of the day."""
        return self.daily_every > 0 and number % self.daily_every == 1 and not self.by_songs(number)

    def reacts(self, number: int) -> bool:
        """Whether a Feedback follows it."""
        return self.feedback_every > 0 and number % self.feedback_every == 0


READS = Mix()


@dataclass(frozen=True)
class Call:
    """One call with its retries. due: its time in the schedule, Unix; latency_s: from then to its end.

    error: status name, empty when it was answered; then version and arm say by whom, and skipped which steps were left
    out. method: known, taste or feedback. degraded: a step that it needs was left out, or a known user got what is
    popular.
    """

    due: float
    latency_s: float
    version: str = ""
    arm: Arm = Arm.NONE
    error: str = ""
    method: str = "known"
    skipped: tuple[Skipped, ...] = ()
    degraded: bool = False

    @property
    def ended(self) -> float:
        """When it ended, Unix time."""
        return self.due + self.latency_s


@dataclass(frozen=True)
class Acknowledged:
    """One feedback that was answered, as it was sent."""

    recommendation_id: str
    user_id: str
    liked: tuple[str, ...]
    ignored: tuple[str, ...]
    key: str
    reactions: int


@contextmanager
def without_full_collections() -> Iterator[None]:
    """Within the block, garbage is looked for among young objects only.

    A full collection walks through the account of all calls so far, and stops the calls meanwhile: their latency would
    be the caller's own.
    """
    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(*before[:2], NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class Traffic:
    """Recommend for one user at a time, `rate` a second, from a thread of its own.

    `calls` and `acknowledged` grow as calls end. retry: ONCE counts what a client's retries would hide.
    """

    def __init__(
        self,
        address: str,
        users: Users,
        rate: float,
        *,
        mix: Mix = READS,
        timeout_s: float = TIMEOUT_S,
        retry: Retry = ONCE,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.calls: list[Call] = []
        self.acknowledged: list[Acknowledged] = []
        self.rate = rate
        self._users, self._mix = users, mix
        self._address = address
        self._options: dict[str, Any] = {"timeout_s": timeout_s, "retry": retry, "credentials": credentials}
        self._ended = threading.Event()
        self._broken: list[BaseException] = []
        self._unix_offset = 0.0

    @contextmanager
    def running(self) -> Iterator[Traffic]:
        """Send calls until the block ends, and wait for their answers. An error that is not the service's is raised."""
        thread = threading.Thread(target=self._run, name="traffic")
        with without_full_collections():
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
        return [call for call in list(self.calls) if first <= call.due < last]

    def quiet_since_s(self) -> float:
        """Seconds of calls without a failure up to the last one that ended. 0 while none has."""
        calls = list(self.calls)
        if not calls:
            return 0.0
        # From the first call on where none failed, so that a service without faults becomes quiet as well.
        last = max((call.ended for call in calls if call.error), default=min(call.due for call in calls))
        return max(call.ended for call in calls) - last

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._broken.append(error)

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        # One clock for the schedule and the ends; the wall clock may be set meanwhile.
        self._unix_offset = time.time() - start
        async with AsyncClient(self._address, **self._options) as client, asyncio.TaskGroup() as group:
            number = 0
            while not self._ended.is_set():
                due = start + number / self.rate
                await asyncio.sleep(max(0.0, due - loop.time()))
                # Not awaited: a call that hangs holds up none that are due later.
                group.create_task(self._turn(client, number, due))
                number += 1

    async def _turn(self, client: AsyncClient, number: int, due: float) -> None:
        """The Recommend of a number, and the Feedback that follows it."""
        method = "taste" if self._users.tastes and self._mix.by_songs(number) else "known"
        try:
            answer = await recommend(client, number, self._users, self._mix)
        except BuddiesError as error:
            self._count(due, method, error=error.code)
            return
        # Only the step that this call is about: a taste without a daily list has lost nothing.
        needed = Skipped.DAILY_LIST if self._mix.of_the_day(number) else Skipped.NEIGHBOUR_SEARCH
        self._count(
            due,
            method,
            version=answer.model_version,
            arm=answer.arm,
            error=answer.error.code if answer.error is not None else "",
            skipped=answer.skipped,
            degraded=needed in answer.skipped or (method == "known" and answer.source is Source.POPULAR),
        )
        if answer.playlists and answer.user_id and self._mix.reacts(number):
            await self._react(client, answer)

    async def _react(self, client: AsyncClient, answer: Recommendation) -> None:
        liked, *ignored = [playlist.playlist_id for playlist in answer.playlists]
        key, due = uuid.uuid4().hex, asyncio.get_running_loop().time()
        try:
            stored = await client.feedback(answer, liked=[liked], ignored=ignored, idempotency_key=key)
        except BuddiesError as error:
            self._count(due, "feedback", error=error.code)
            return
        self._count(due, "feedback", version=answer.model_version, arm=answer.arm)
        # What was not acknowledged may be stored or not; only what was counts as lost when it is missing.
        self.acknowledged.append(
            Acknowledged(answer.recommendation_id, answer.user_id, (liked,), tuple(ignored), key, stored.reactions)
        )

    def _count(self, due: float, method: str, **values: Any) -> None:
        latency_s = asyncio.get_running_loop().time() - due
        self.calls.append(Call(due + self._unix_offset, latency_s, method=method, **values))


async def recommend(client: AsyncClient, number: int, users: Users, mix: Mix = READS) -> Recommendation:
    """The Recommend of this number in a mix: for a known user, or by songs."""
    if users.tastes and mix.by_songs(number):
        (answer,) = await client.recommend(tastes=[users.tastes[number % len(users.tastes)]])
        return answer
    mode = Mode.DAILY if mix.of_the_day(number) else Mode.LIVE
    (answer,) = await client.recommend([users.user_ids[number % len(users.user_ids)]], mode=mode)
    return answer


def capacity(address: str, users: Users) -> float:
    """Calls a second, of the kinds that Traffic makes, of PROBE_CALLERS callers who wait for each answer.

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
                await recommend(client, number, users)
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
