"""Where a candidate comes from: one bit a source, since several may find the same playlist.

In the bundle's room, since both the release that finds candidates and the engine that answers with them read it.
"""

from __future__ import annotations

from enum import IntFlag

PAIRING, TASTE, FOLLOWS, POPULAR, NEW = 1, 2, 4, 8, 16
# What a bundle may hold: a bit beyond these is a mistake of its writer.
ALL = PAIRING | TASTE | FOLLOWS | POPULAR | NEW


class CandidateSource(IntFlag):
    """The bits of `candidate_sources`.

    PAIRING: a playlist of a user with songs in common. TASTE: near the user's factor. FOLLOWS: liked by those who like
    what the user likes. POPULAR: liked by many. NEW: liked by few or nobody yet.
    """

    PAIRING = PAIRING
    TASTE = TASTE
    FOLLOWS = FOLLOWS
    POPULAR = POPULAR
    NEW = NEW


def names_of(bits: int) -> tuple[str, ...]:
    """The sources in a mask, lower case, in the order of the bits; none for 0."""
    return tuple(source.name.lower() for source in CandidateSource if source & bits and source.name)
