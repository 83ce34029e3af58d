"""The mix of calls: kinds and their shares."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from enum import StrEnum

# Calls after which every kind has had its share, to the nearest call.
DECK = 1_000


class CallKind(StrEnum):
    """One kind of call."""

    KNOWN = "known"
    TASTE = "taste"
    UNKNOWN = "unknown"
    FEEDBACK = "feedback"


class MixError(ValueError):
    """A mix cannot be read; the message says what is wrong with it."""


def parse_mix(text: str) -> dict[CallKind, float]:
    """Read "known=80,taste=20": weights, whatever their sum. A kind alone means nothing but it. MixError."""
    weights: dict[CallKind, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            kind = CallKind(name)
        except ValueError:
            raise MixError(f"{name!r} is none of {', '.join(CallKind)}") from None
        try:
            weight = float(number) if equals else 1.0
        except ValueError:
            raise MixError(f"{part.strip()!r}: the weight is not a number") from None
        if not 0 < weight < float("inf"):
            raise MixError(f"{part.strip()!r}: the weight must be more than 0")
        if kind in weights:
            raise MixError(f"{kind} is named twice")
        weights[kind] = weight
    return weights


def deal(weights: Mapping[CallKind, float], rng: random.Random) -> Iterator[CallKind]:
    """Kinds without end, in random order; each DECK of them holds every kind in its share (largest remainder)."""
    whole = sum(weights.values())
    exact = {kind: DECK * weight / whole for kind, weight in weights.items()}
    counts = {kind: int(share) for kind, share in exact.items()}
    for kind in sorted(exact, key=lambda kind: counts[kind] - exact[kind])[: DECK - sum(counts.values())]:
        counts[kind] += 1
    deck = [kind for kind, count in counts.items() for _ in range(count)]
    while True:
        rng.shuffle(deck)
        yield from deck
