"""The requests of a measurement, encoded before it: building them would count as the server's time."""

from __future__ import annotations

import json
import random
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from spotify_buddies.clients.load.mix import CallKind, deal
from spotify_buddies.clients.load.plan import LoadPlan, Protocol
from spotify_buddies.clients.load.sample import Sample
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

# Distinct requests of a kind, and the users in all of them together: enough to leave the processor's caches.
REQUESTS = 5_000
USERS = 200_000
FEWEST = 16
# Recommendations kept for feedback; when all were used it starts again from the first.
KEPT = 20_000


class RequestsError(Exception):
    """The requests cannot be made: users, songs or playlists are missing."""


@dataclass(frozen=True)
class Request:
    """One call, ready to send. users: users in it, 0 for feedback."""

    kind: CallKind
    payload: bytes
    users: int


@dataclass(frozen=True)
class Received:
    """The parts of a recommendation that feedback needs."""

    recommendation_id: str
    user_id: str
    playlist_ids: tuple[str, ...]
    model_version: str
    arm: pb.Arm.ValueType


class Requests:
    """Draws requests of a plan without end. RequestsError: the mix needs users, songs or playlists that are missing."""

    def __init__(self, plan: LoadPlan, sample: Sample, rng: random.Random) -> None:
        self._plan = plan
        self._rng = rng
        self._kinds = deal(plan.mix, rng)
        # Not of `rng`: another run with the same seed would send the same keys, and nothing would be stored.
        self._run = uuid.uuid4().hex
        self._sent = 0
        self._received: deque[Received] = deque(maxlen=KEPT)
        builders = {CallKind.KNOWN: self._known, CallKind.TASTE: self._taste, CallKind.UNKNOWN: self._unknown}
        if CallKind.KNOWN in plan.mix and not sample.user_ids:
            raise RequestsError("the mix has known users, and no ids are given")
        if plan.protocol is Protocol.REST and set(plan.mix) - {CallKind.KNOWN, CallKind.UNKNOWN}:
            raise RequestsError("the published HTTP shape knows calls for user ids alone, neither tastes nor feedback")
        if CallKind.TASTE in plan.mix and not sample.tastes:
            raise RequestsError("the mix has tastes, and no songs are given")
        self._sample = sample
        self._pools = {kind: _pool(plan, kind, builders[kind], rng) for kind in plan.mix if kind in builders}

    def next(self) -> Request:
        """The next request of the mix."""
        kind = next(self._kinds)
        # Built now, not before: it is about recommendations that have come meanwhile, and its key is used once.
        if kind is CallKind.FEEDBACK:
            return Request(kind, self._feedback(), 0)
        return next(self._pools[kind])

    def priming(self) -> Iterator[bytes]:
        """Recommend requests whose answers give feedback something to be about; none where the mix has no feedback."""
        if CallKind.FEEDBACK not in self._plan.mix:
            return
        if not self._sample.user_ids:
            raise RequestsError("feedback is about recommendations to known users, and no ids are given")
        ids = list(self._sample.user_ids)
        for first in range(0, KEPT, 500):
            chosen = ids[first : first + 500] if len(ids) >= KEPT else self._rng.choices(ids, k=500)
            limit = max(self._plan.limit, self._plan.reactions)
            yield pb.RecommendRequest(user_ids=chosen, limit=limit, explain=False).SerializeToString()

    def keep(self, response: pb.RecommendResponse) -> None:
        """Take the recommendations of an answer for feedback."""
        for item in response.recommendations:
            if item.recommendation_id and len(item.playlists) >= self._plan.reactions:
                playlists = tuple(playlist.playlist_id for playlist in item.playlists[: self._plan.reactions])
                kept = Received(item.recommendation_id, item.user_id, playlists, item.model_version, item.arm)
                self._received.append(kept)

    def _feedback(self) -> bytes:
        if not self._received:
            raise RequestsError(
                f"feedback needs a recommendation of at least {self._plan.reactions} playlists, and none came"
            )
        about = self._received[0]
        self._received.rotate(-1)
        self._sent += 1
        return pb.FeedbackRequest(
            recommendation_id=about.recommendation_id,
            user_id=about.user_id,
            liked=about.playlist_ids,
            idempotency_key=f"load-{self._run}-{self._sent}",
            model_version=about.model_version,
            arm=about.arm,
        ).SerializeToString()

    def _known(self) -> pb.RecommendRequest:
        return pb.RecommendRequest(user_ids=self._rng.choices(self._sample.user_ids, k=self._plan.users_per_call))

    def _unknown(self) -> pb.RecommendRequest:
        ids = [f"nobody-{self._rng.getrandbits(64):016x}" for _ in range(self._plan.users_per_call)]
        return pb.RecommendRequest(user_ids=ids)

    def _taste(self) -> pb.RecommendRequest:
        chosen = self._rng.choices(self._sample.tastes, k=self._plan.users_per_call)
        return pb.RecommendRequest(tastes=[_taste(taste, number) for number, taste in enumerate(chosen)])


def _taste(songs: tuple[tuple[str, str], ...], number: int) -> pb.Taste:
    named = [pb.Song(name=pb.SongName(title=title, artist=artist)) for title, artist in songs]
    return pb.Taste(user_id=f"guest-{number}", songs=named)


def _pool(
    plan: LoadPlan, kind: CallKind, build: Callable[[], pb.RecommendRequest], rng: random.Random
) -> Iterator[Request]:
    made = []
    for _ in range(max(FEWEST, min(REQUESTS, USERS // plan.users_per_call))):
        message = build()
        message.limit, message.explain = plan.limit, plan.explain
        made.append(Request(kind, _encoded(plan, message), plan.users_per_call))
    return _cycle(made, rng)


def _encoded(plan: LoadPlan, message: pb.RecommendRequest) -> bytes:
    if plan.protocol is Protocol.REST:
        return json.dumps({"user_ids": list(message.user_ids)}).encode()
    return message.SerializeToString()


def _cycle(requests: list[Request], rng: random.Random) -> Iterator[Request]:
    while True:
        rng.shuffle(requests)
        yield from requests
