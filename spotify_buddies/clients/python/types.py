"""The values of requests and answers, frozen; they mirror the proto, where every range and default is documented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum


class Mode(Enum):
    """The way to a list: scored now, or read from the lists of the day."""

    LIVE = "live"
    DAILY = "daily"


class Source(Enum):
    """The source of the playlists of one recommendation."""

    UNKNOWN = "unspecified"
    LIVE = "live"
    DAILY = "daily"
    COLD_NEIGHBOURS = "cold_neighbours"
    POPULAR = "popular"
    POPULAR_IN_GENRE = "popular_in_genre"


class Arm(Enum):
    """Which of the versions in rotation answered."""

    NONE = "unspecified"
    PRODUCTION = "production"
    CANARY = "canary"
    INTERLEAVED = "interleaved"


class Skipped(Enum):
    """A step that was left out of an answer."""

    UNKNOWN = "unspecified"
    NEIGHBOUR_SEARCH = "neighbour_search"
    DAILY_LIST = "daily_list"
    SEEN = "seen"


class VersionState(Enum):
    """The state of a version in a replica."""

    UNKNOWN = "unspecified"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class Song:
    """A song by title and artist, or by its id in the data set."""

    title: str = ""
    artist: str = ""
    song_id: str = ""

    def __str__(self) -> str:
        return self.song_id or f"{self.title} - {self.artist}"


@dataclass(frozen=True)
class Taste:
    """A user described by 1 to 1,000 songs. user_id comes back in the recommendation; it may be empty."""

    songs: Sequence[Song]
    user_id: str = ""


@dataclass(frozen=True)
class ExcludeSeen:
    """Leave out what a user was shown, or liked, within a window of 1 second to 365 days; None: 60 days."""

    window: timedelta | None = None
    shown: bool = True
    liked: bool = True


class ReasonKind(Enum):
    """What a reason counts; UNKNOWN of a server that does not say."""

    UNKNOWN = "unknown"
    TASTE = "taste"
    OWNER = "owner"
    SONGS = "songs"
    ARTISTS = "artists"
    FOLLOWERS = "followers"
    POPULAR = "popular"
    POPULAR_IN_GENRE = "popular_in_genre"


@dataclass(frozen=True)
class Reason:
    """The reason of a playlist, as a sentence and as what it counts.

    shared_songs: songs of the user that its owner shares or, of kind SONGS, that it holds; examples: up to three of
    them. artist_songs: its songs by artists of the user's songs; artists: up to three of these. common_followers:
    people who follow it and what the user follows. Only what `kind` says is not 0.
    """

    shared_songs: int
    examples: tuple[Song, ...]
    text: str
    kind: ReasonKind = ReasonKind.UNKNOWN
    artist_songs: int = 0
    artists: tuple[str, ...] = ()
    common_followers: int = 0


class CandidateSource(Enum):
    """What found a playlist before it was ranked."""

    UNKNOWN = "unknown"
    PAIRING = "pairing"
    TASTE = "taste"
    FOLLOWS = "follows"
    POPULAR = "popular"
    NEW = "new"


@dataclass(frozen=True)
class CounterfactualOptions:
    """Ask which of a user's songs, left out, would drop a playlist from the list.

    playlist_ids: of which playlists; none: the first max_playlists, 1 to 20, of every list. max_songs: left out
    together, 1 to 50. None: what the server takes, 3 and 10.
    """

    playlist_ids: Sequence[str] = ()
    max_playlists: int | None = None
    max_songs: int | None = None


class CounterfactualOutcome(Enum):
    """What the search for songs to leave out has found; only FOUND has songs."""

    UNKNOWN = "unspecified"
    FOUND = "found"
    NOT_FOUND = "not_found"
    FEW_SONGS = "few_songs"
    NOT_BY_SONGS = "not_by_songs"
    BUDGET_SPENT = "budget_spent"
    UNVERIFIED = "unverified"


@dataclass(frozen=True)
class Counterfactual:
    """songs: without them the list does not have the playlist, and with any one put back it has; most telling first.

    replaced_by: the best playlist that the list has only without them; empty if there is none. rankings: lists that
    were computed to find this.
    """

    outcome: CounterfactualOutcome
    songs: tuple[Song, ...] = ()
    replaced_by: str = ""
    rankings: int = 0


@dataclass(frozen=True)
class Playlist:
    """One recommended playlist. owner_id is empty where nobody owns it; scores compare within one recommendation.

    found_by: every source that found it, none where the version does not say. counterfactual: None unless asked for.
    picked_by: the version that picked it for a list of the arm INTERLEAVED; empty otherwise.
    """

    playlist_id: str
    title: str
    owner_id: str
    score: float
    reason: Reason | None
    found_by: tuple[CandidateSource, ...] = ()
    counterfactual: Counterfactual | None = None
    picked_by: str = ""


@dataclass(frozen=True)
class ListenerError:
    """The error of one user while others are answered. field: of the request, as "user_ids[3]"; code: a gRPC name."""

    code: str
    field: str
    message: str


@dataclass(frozen=True)
class Recommendation:
    """The playlists for one user, best first; or, with `error` set, none and no recommendation_id."""

    user_id: str
    recommendation_id: str
    playlists: tuple[Playlist, ...]
    model_version: str
    arm: Arm
    source: Source
    skipped: tuple[Skipped, ...]
    unknown_songs: int
    error: ListenerError | None = None


@dataclass(frozen=True)
class FeedbackResult:
    """duplicate: an earlier request with the same key had stored it. reactions: stored rows, one per playlist."""

    duplicate: bool
    reactions: int
    idempotency_key: str


@dataclass(frozen=True)
class VersionStatus:
    """One loaded model version; share is that of the users it answers, 0 to 1."""

    version: str
    state: VersionState
    arm: Arm
    share: float
    since: datetime
    bundle_sha256: str
    message: str
    users: int
    playlists: int


@dataclass(frozen=True)
class Erasure:
    """The receipt for an erasure; it does not hold the user's id.

    listener: the hash that the deployment keeps to recognise the user, 64 hexadecimal digits. rows: what was erased, by
    place. confirmed: the processes that honour it. left: what is left to do, as sentences; repeat the call until there
    is nothing. notes: what stays, and until when.
    """

    listener: str
    erased_at: datetime
    rows: Mapping[str, int]
    confirmed: tuple[str, ...]
    left: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return not self.left


@dataclass(frozen=True)
class ModelStatus:
    """The versions that the answering replica serves."""

    model: str
    versions: tuple[VersionStatus, ...]
    generation: int
    uptime: timedelta

    @property
    def production(self) -> VersionStatus | None:
        """The version that answers by default, None when there is none."""
        return next((version for version in self.versions if version.arm is Arm.PRODUCTION), None)
