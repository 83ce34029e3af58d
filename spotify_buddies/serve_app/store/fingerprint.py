"""Fingerprints of actions, short enough to be kept with each key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from xxhash import xxh32_digest

from spotify_buddies.serve_app.store.actions import Feedback

# In the order of their hashes. Version and arm are left out: a repetition may have lost them.
FIELDS = ("user_id", "recommendation_id", "liked", "ignored", "disliked", "do_not_recommend")
HASH_BYTES = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def fingerprint(action: Feedback) -> bytes:
    """XXH32 of each of FIELDS, 24 bytes; the order of playlists does not matter.

    Two values of a field collide once in 4 billion: enough to tell a mistake from a repetition.
    """
    snoozes = [f"{snooze.playlist_id}\0{(snooze.until - _EPOCH) // _MICROSECOND}" for snooze in action.snoozes]
    lists = map(_joined, (action.liked, action.ignored, action.disliked, snoozes))
    return b"".join(xxh32_digest(text.encode()) for text in (action.user_id, action.recommendation_id, *lists))


def differing(one: bytes, other: bytes | None) -> tuple[str, ...]:
    """The fields in which two fingerprints differ; none where the other one is unknown."""
    if other is None or one == other:
        return ()
    starts = range(0, len(FIELDS) * HASH_BYTES, HASH_BYTES)
    parts = [(one[start : start + HASH_BYTES], other[start : start + HASH_BYTES]) for start in starts]
    return tuple(name for name, (mine, stored) in zip(FIELDS, parts, strict=True) if mine != stored)


def _joined(texts: Sequence[str]) -> str:
    return "\0".join(sorted(texts))  # no id holds this character
