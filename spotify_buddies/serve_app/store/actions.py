"""Actions of users and their outcomes: frozen data between the edge and the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

# The arm of an action whose caller does not say one.
UNSPECIFIED = "unspecified"
# The arm of lists drafted from two versions, each playlist picked by one of them.
INTERLEAVED = "interleaved"


@dataclass(frozen=True)
class Origin:
    """The model version and arm of a list. picked_by: the version that picked each playlist, where it was drafted."""

    model_version: str
    arm: str
    picked_by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Snooze:
    """A playlist that must not come back before `until` (UTC); a time in the past withdraws an earlier wish."""

    playlist_id: str
    until: datetime


@dataclass(frozen=True)
class Feedback:
    """What one user did with one recommendation, checked. arm: production, canary, interleaved or unspecified.

    caller: the owner of idempotency_key; empty where nobody says. at: when it happened, in UTC; None: now, as it is
    stored. picked_by: as in Origin.
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
    picked_by: Mapping[str, str] = field(default_factory=dict)

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
