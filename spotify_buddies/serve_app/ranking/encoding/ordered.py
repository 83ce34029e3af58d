"""The answer to a whole query: lists and refusals, each at its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spotify_buddies.serve_app.ranking.encoding.encoder import Encoder, encode_refused
from spotify_buddies.serve_app.ranking.query import Arm, RankedLists, RefusedUser
from spotify_buddies.serve_app.ranking.reasons import Reasons


@dataclass(frozen=True)
class Ranked:
    """Lists with their reasons (None: not wanted) and the random bytes of their ids, 16 each."""

    lists: RankedLists
    drawn: bytes
    reasons: Reasons | None


def encode_ordered(encoder: Encoder, ranked: Sequence[Ranked], refused: Sequence[RefusedUser], arm: Arm) -> bytes:
    """The lists in their order, user_ids' and then tastes', and the refused in between, by ascending place."""
    parts: list[bytes] = []
    first = 0
    for passed, refusal in enumerate(refused):
        # Refused users take a place among all, and none among those that are ranked.
        last = refusal.place - passed
        parts += _encode_range(encoder, ranked, first, last, arm)
        parts.append(encode_refused(refusal))
        first = last
    parts += _encode_range(encoder, ranked, first, sum(len(some.lists) for some in ranked), arm)
    return b"".join(parts)


def _encode_range(encoder: Encoder, ranked: Sequence[Ranked], first: int, last: int, arm: Arm) -> list[bytes]:
    """The lists first up to last of all that are ranked."""
    parts = []
    for some in ranked:
        size = len(some.lists)
        start, stop = max(first, 0), min(last, size)
        if start < stop:
            parts.append(encoder.encode(some.lists, some.drawn, some.reasons, start, stop, arm=arm))
        first, last = first - size, last - size
    return parts
