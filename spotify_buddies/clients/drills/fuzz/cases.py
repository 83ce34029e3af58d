"""Requests that no client would send: wild values, damaged messages, and bytes that are no message."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from google.protobuf.message import Message

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

TEXTS = ("", "a", "\0", "é" * 64, "x" * 128, "x" * 129, "\U0001f3b5" * 40, "nobody", "-1", "%s{0}", "'; --")
NUMBERS = (-(2**31), -1, 0, 1, 2, 5, 100, 101, 1_000, 2**31 - 1)
FRACTIONS = (0.0, -1.0, 0.5, 1.0, 1.0000001, float("nan"), float("inf"), -float("inf"), 1e-45)
SECONDS = (-(2**63), -1, 0, 1, 60, 2**31, 253_402_300_799, 253_402_300_800, 2**63 - 1)


@dataclass(frozen=True)
class FuzzCase:
    """One request as bytes."""

    method: str
    data: bytes


def cases(seed: int, ids: tuple[str, ...] = ()) -> Iterator[FuzzCase]:
    """Endless cases, the same for the same seed: well-formed with wild values, damaged, or not messages at all.

    ids: users and playlists that exist, mixed in so that requests get past the first checks.
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
        # Mostly the methods with rich requests; GetModelStatus has an empty one.
        method, make = makers[rng.choices(range(4), (10, 2, 5, 1))[0]]
        data = make(rng, texts).SerializeToString()
        # Most stay well-formed: a damaged one often ends in the parser, and wild values reach the service's own checks.
        yield FuzzCase(method, _damaged(rng, data) if rng.random() < 0.4 else data)


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
        request.max_song_containment = rng.choice(FRACTIONS)
        request.adventurous = rng.choice(FRACTIONS)
        request.calibration = rng.choice(FRACTIONS)
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
            offset = rng.randrange(len(damaged) + 1)
            damaged[offset:offset] = rng.randbytes(rng.randrange(1, 17))
        case _:
            damaged = bytearray(rng.randbytes(rng.randrange(65)))
    return bytes(damaged)
