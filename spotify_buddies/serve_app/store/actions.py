"""Actions of users and their outcomes: frozen data between the edge and the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

# The arm of an action whose caller does not say one.
UNSPECIFIED = "unspecified"


@dataclass(frozen=True)
class Snooze:
    """A playlist that must not come back before `until` (UTC); a time in the past withdraws an earlier wish."""

    playlist_id: str
    until: datetime


@dataclass(frozen=True)
class Feedback:
    """What one user did with one recommendation, checked. arm: production, canary or unspecified.

    caller: the owner of idempotency_key; empty where nobody says. at: when it happened, in UTC; None: now, as it is
    stored.
    """

    recommendation_id: str
    user_id: str
    liked: tuple[str, ...]
    ignored: tuple[str, ...]
    disliked: tuple[str, ...]
    idempotency_key: str
    model_version: str = ""
    arm: str = UNSPECIFIED
    snoozes: tuple[Snooze, ...] = ()
    caller: str = ""
    at: datetime | None = None

    def reactions(self) -> Iterator[tuple[str, int]]:
        """Playlist id and score: liked 1, ignored 0, disliked -1."""
        for playlists, score in ((self.liked, 1), (self.ignored, 0), (self.disliked, -1)):
            yield from ((playlist_id, score) for playlist_id in playlists)

    def rows(self) -> int:
        """Rows that the action becomes: one per playlist."""
        return len(self.liked) + len(self.ignored) + len(self.disliked) + len(self.snoozes)


@dataclass(frozen=True)
class StoredAction:
    """Outcome of one action. new: stored by this call, else by an earlier one with the same key.

    reactions: rows under that key. differs: fields in which the earlier action was another one, as in
    fingerprint.FIELDS; then this one is not stored.
    """

    new: bool
    reactions: int
    differs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """The state of one block after a commit.

    until: seconds since 1970 up to which the playlist must not come back, FOREVER for a dislike, 0 when it was lifted.
    number: of two changes of one (user, playlist) the later has the greater number.
    """

    user_id: str
    playlist_id: str
    until: int
    number: int


# The largest until, since it is kept in 32 bits; later times mean the same.
FOREVER = 2**32 - 1
