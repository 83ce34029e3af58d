"""Requests that no client would send: every answer must be a status that the caller can understand."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from spotify_buddies.clients.python.channel import direct
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["RecommenderService"].full_name
CALLERS = 32
DEADLINE_S = 30.0
# What a caller may be told of a request of its own making. Anything else is a defect of the server.
ALLOWED = frozenset({"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "ALREADY_EXISTS"})
TEXTS = ("", "a", "\0", "é" * 64, "x" * 128, "x" * 129, "\U0001f3b5" * 40, "nobody", "-1", "%s{0}", "'; --")
NUMBERS = (-(2**31), -1, 0, 1, 2, 5, 100, 101, 1_000, 2**31 - 1)
FRACTIONS = (0.0, -1.0, 0.5, 1.0, 1.0000001, float("nan"), float("inf"), -float("inf"), 1e-45)
SECONDS = (-(2**63), -1, 0, 1, 60, 2**31, 253_402_300_799, 253_402_300_800, 2**63 - 1)


@dataclass(frozen=True)
class Case:
    """One request as bytes."""

    method: str
    data: bytes


@dataclass(frozen=True)
class Fuzzed:
    """statuses: how many cases ended with each. worst: some cases whose status is not allowed, by status."""

    statuses: dict[str, int]
    worst: dict[str, Case]

    @property
    def failed(self) -> int:
        """Cases whose status is not allowed."""
        return sum(count for status, count in self.statuses.items() if status not in ALLOWED)


def cases(seed: int, ids: tuple[str, ...] = ()) -> Iterator[Case]:
    """Endless cases, the same for the same seed: well-formed with wild values, damaged, or not messages at all.

    ids: listeners and playlists that exist, mixed in so that requests get past the first checks.
    """
    rng = random.Random(seed)  # noqa: S311 - a test, not a secret
    texts = (*TEXTS, *ids)
    makers: tuple[tuple[str, Callable[[random.Random, tuple[str, ...]], Message]], ...] = (
        ("Recommend", _recommend),
        ("RecommendStream", lambda r, t: pb.RecommendStreamRequest(request=_recommend(r, t), part_size=_number(r))),
        ("Feedback", _feedback),
        ("GetModelStatus", lambda _r, _t: pb.GetModelStatusRequest()),
    )
    while True:
        method, make = makers[rng.choices(range(4), (10, 2, 5, 1))[0]]
        data = make(rng, texts).SerializeToString()
        yield Case(method, _damaged(rng, data) if rng.random() < 0.4 else data)


async def fuzz(address: str, count: int, seed: int, ids: tuple[str, ...] = ()) -> Fuzzed:
    """Send so many cases and count the statuses. The server must be up: one that is gone shows as UNAVAILABLE."""
    statuses: Counter[str] = Counter()
    worst: dict[str, Case] = {}
    source = iter(cases(seed, ids))
    left = count

    async def caller(channel: grpc.aio.Channel) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            case = next(source)
            status = await _send(channel, case)
            statuses[status] += 1
            if status not in ALLOWED:
                worst.setdefault(status, case)

    async with grpc.aio.insecure_channel(address, options=direct(address)) as channel:
        await asyncio.gather(*(caller(channel) for _ in range(CALLERS)))
    return Fuzzed(dict(statuses), worst)


async def _send(channel: grpc.aio.Channel, case: Case) -> str:
    path = f"/{SERVICE}/{case.method}"
    # Without serialisers gRPC takes and gives bytes, which its types do not know.
    call: Any = channel.unary_stream(path) if case.method == "RecommendStream" else channel.unary_unary(path)
    try:
        if case.method == "RecommendStream":
            async for _ in call(case.data, timeout=DEADLINE_S):
                pass
        else:
            await call(case.data, timeout=DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


def _recommend(rng: random.Random, texts: tuple[str, ...]) -> pb.RecommendRequest:
    request = pb.RecommendRequest(user_ids=_texts(rng, texts, 5), exclude_playlist_ids=_texts(rng, texts, 5))
    for _ in range(rng.randrange(3)):
        taste = request.tastes.add(user_id=rng.choice(texts))
        for _ in range(rng.randrange(6)):
            song = taste.songs.add()
            if rng.random() < 0.4:
                song.song_id = rng.choice(texts)
            elif rng.random() < 0.9:
                song.name.title, song.name.artist = rng.choice(texts), rng.choice(texts)
    if rng.random() < 0.5:
        request.limit = _number(rng)
    if rng.random() < 0.3:
        request.mode = rng.choice((0, 1, 2, 3, -1, 2**31 - 1))  # type: ignore[assignment]
    if rng.random() < 0.3:
        request.max_per_owner = _number(rng)
    if rng.random() < 0.3:
        request.max_song_overlap = rng.choice(FRACTIONS)
    if rng.random() < 0.3:
        request.exclude_seen.window.seconds = rng.choice(SECONDS)
        request.exclude_seen.window.nanos = _number(rng)
        request.exclude_seen.shown = rng.random() < 0.5
    if rng.random() < 0.3:
        request.explain = rng.random() < 0.5
    return request


def _feedback(rng: random.Random, texts: tuple[str, ...]) -> pb.FeedbackRequest:
    request = pb.FeedbackRequest(
        recommendation_id=rng.choice((*texts, *(rng.randbytes(16).hex() for _ in texts))),
        user_id=rng.choice(texts),
        liked=_texts(rng, texts, 3),
        ignored=_texts(rng, texts, 3),
        disliked=_texts(rng, texts, 3),
        idempotency_key=rng.choice((*texts, rng.randbytes(8).hex())),
        model_version=rng.choice(texts),
    )
    if rng.random() < 0.3:
        request.arm = rng.choice((0, 1, 2, 7, -1))  # type: ignore[assignment]
    if rng.random() < 0.3:
        hold = request.do_not_recommend.add(playlist_id=rng.choice(texts))
        if rng.random() < 0.8:
            hold.until.seconds = rng.choice(SECONDS)
            hold.until.nanos = _number(rng)
    return request


def _texts(rng: random.Random, texts: tuple[str, ...], most: int) -> list[str]:
    return [rng.choice(texts) for _ in range(rng.randrange(most + 1))]


def _number(rng: random.Random) -> int:
    return rng.choice(NUMBERS)


def _damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes flipped, cut, doubled, put in, or replaced by noise altogether."""
    damaged = bytearray(data)
    match rng.randrange(5):
        case 0 if damaged:
            for _ in range(rng.randrange(1, 4)):
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        case 1 if damaged:
            del damaged[rng.randrange(len(damaged)) :]
        case 2:
            damaged *= 2
        case 3:
            at = rng.randrange(len(damaged) + 1)
            damaged[at:at] = rng.randbytes(rng.randrange(1, 17))
        case _:
            damaged = bytearray(rng.randbytes(rng.randrange(65)))
    return bytes(damaged)
