"""Steady traffic of real clients, with an account of every call."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spotify_buddies.clients.python import BuddiesError, Client, Mode, Recommendation, Skipped, Song, Source, Taste

CALLERS = 4
# Each caller waits so long between calls: about 100 calls a second in all, far below what one replica answers.
PAUSE_S = 0.03
AUDIT_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Listeners:
    """Who calls: ids that the model knows, and tastes of others."""

    known: Sequence[str]
    tastes: Sequence[Taste]

    @classmethod
    def of(cls, found: Sequence[dict[str, Any]]) -> Listeners:
        """From the output of `buddies data listeners --json`. ValueError when there are none."""
        if not found:
            raise ValueError("the data set has no listeners")
        known = [str(listener["user_id"]) for listener in found]
        tastes = [Taste([Song(**song) for song in listener["songs"]]) for listener in found]
        return cls(known, [taste for taste in tastes if taste.songs])


@dataclass(frozen=True)
class Call:
    """One call with its retries. began_s, ended_s: time.monotonic. error: status name, empty when it was answered."""

    method: str
    began_s: float
    ended_s: float
    error: str = ""
    degraded: bool = False


@dataclass(frozen=True)
class Acknowledged:
    """One feedback that was answered, as it was sent."""

    recommendation_id: str
    user_id: str
    liked: tuple[str, ...]
    ignored: tuple[str, ...]
    key: str
    reactions: int


class Traffic:
    """Callers in threads. What they did is kept in `calls` and `acknowledged`; read both after the block ends."""

    def __init__(self, address: str, listeners: Listeners, timeout_s: float = 2.0) -> None:
        self.calls: list[Call] = []
        self.acknowledged: list[Acknowledged] = []
        self._listeners = listeners
        self._client = Client(address, timeout_s=timeout_s)
        self._ended = threading.Event()
        self._broken: list[Exception] = []

    @contextmanager
    def running(self) -> Iterator[Traffic]:
        """Send calls until the block ends. An error that is not the service's ends the drill with it."""
        threads = [threading.Thread(target=self._call_until_ended, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()
            self._client.close()
        if self._broken:
            raise self._broken[0]

    def quiet_since_s(self) -> float:
        """Seconds since a call failed last, or since the first call. 0 while none has ended yet."""
        calls = list(self.calls)
        if not calls:
            return 0.0
        last = max((call.ended_s for call in calls if call.error), default=calls[0].began_s)
        return max(call.ended_s for call in calls) - last

    def _call_until_ended(self, number: int) -> None:
        turn = number * 1_000_003
        try:
            while not self._ended.is_set():
                self._turn(turn)
                turn += 1
                self._ended.wait(PAUSE_S)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            self._broken.append(error)

    def _turn(self, turn: int) -> None:
        known = self._listeners.known
        user_id = known[turn % len(known)]
        tastes = self._listeners.tastes
        if turn % 4 == 3 and tastes:
            found = self._recommend("taste", (), [tastes[turn % len(tastes)]], Mode.LIVE)
        else:
            found = self._recommend("known", [user_id], (), Mode.DAILY if turn % 8 == 1 else Mode.LIVE)
        if found is not None and found.user_id and found.playlists and turn % 2 == 0:
            self._react(found)

    def _recommend(
        self, method: str, user_ids: Sequence[str], tastes: Sequence[Taste], mode: Mode
    ) -> Recommendation | None:
        began = time.monotonic()
        try:
            (found,) = self._client.recommend(user_ids, tastes=tastes, mode=mode)
        except BuddiesError as error:
            self.calls.append(Call(method, began, time.monotonic(), error.code))
            return None
        wanted = Skipped.DAILY_LIST if mode is Mode.DAILY else Skipped.NEIGHBOUR_SEARCH
        degraded = wanted in found.skipped or (bool(user_ids) and found.source is Source.POPULAR)
        self.calls.append(Call(method, began, time.monotonic(), degraded=degraded))
        return found

    def _react(self, found: Recommendation) -> None:
        liked, *ignored = [playlist.playlist_id for playlist in found.playlists]
        key = uuid.uuid4().hex
        began = time.monotonic()
        try:
            result = self._client.feedback(found, liked=[liked], ignored=ignored, idempotency_key=key)
        except BuddiesError as error:
            self.calls.append(Call("feedback", began, time.monotonic(), error.code))
            return
        self.calls.append(Call("feedback", began, time.monotonic()))
        self.acknowledged.append(
            Acknowledged(found.recommendation_id, found.user_id, (liked,), tuple(ignored), key, result.reactions)
        )


def count_lost(address: str, acknowledged: Sequence[Acknowledged]) -> int:
    """How many acknowledged feedbacks are not stored as they were: sent again, each must be known as a duplicate."""
    lost = 0
    with Client(address, timeout_s=AUDIT_TIMEOUT_S) as client:
        for one in acknowledged:
            again = client.feedback(
                one.recommendation_id,
                user_id=one.user_id,
                liked=one.liked,
                ignored=one.ignored,
                idempotency_key=one.key,
            )
            lost += not again.duplicate or again.reactions != one.reactions
    return lost


def errors_of(calls: Sequence[Call]) -> dict[str, int]:
    """Failed calls by method and status, as in "feedback UNAVAILABLE"."""
    return dict(Counter(f"{call.method} {call.error}" for call in calls if call.error))
