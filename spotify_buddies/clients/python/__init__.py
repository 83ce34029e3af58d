"""Typed client of the recommendation service, synchronous (`Client`) and asynchronous (`AsyncClient`)."""

from spotify_buddies.clients.python.aio import AsyncClient
from spotify_buddies.clients.python.client import Client
from spotify_buddies.clients.python.credentials import secure
from spotify_buddies.clients.python.errors import (
    AccessDenied,
    BuddiesError,
    DeadlineExceeded,
    InvalidRequest,
    KeyReused,
    ServerBusy,
    ServiceFailure,
    ServiceUnavailable,
    Violation,
)
from spotify_buddies.clients.python.retry import Retry
from spotify_buddies.clients.python.service_config import SERVICE_CONFIG
from spotify_buddies.clients.python.types import (
    Arm,
    CandidateSource,
    ExcludeSeen,
    FeedbackResult,
    ListenerError,
    Mode,
    ModelStatus,
    Playlist,
    Reason,
    ReasonKind,
    Recommendation,
    Skipped,
    Song,
    Source,
    Taste,
    VersionState,
    VersionStatus,
)

__all__ = [
    "SERVICE_CONFIG",
    "AccessDenied",
    "Arm",
    "AsyncClient",
    "BuddiesError",
    "CandidateSource",
    "Client",
    "DeadlineExceeded",
    "ExcludeSeen",
    "FeedbackResult",
    "InvalidRequest",
    "KeyReused",
    "ListenerError",
    "Mode",
    "ModelStatus",
    "Playlist",
    "Reason",
    "ReasonKind",
    "Recommendation",
    "Retry",
    "ServerBusy",
    "ServiceFailure",
    "ServiceUnavailable",
    "Skipped",
    "Song",
    "Source",
    "Taste",
    "VersionState",
    "VersionStatus",
    "Violation",
    "secure",
]
