"""Typed client of the recommendation service, synchronous (`Client`) and asynchronous (`AsyncClient`)."""

from clients.python.aio import AsyncClient
from clients.python.client import Client
from clients.python.credentials import secure
from clients.python.errors import (
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
from clients.python.retry import Retry
from clients.python.service_config import SERVICE_CONFIG
from clients.python.types import (
    Arm,
    ExcludeSeen,
    FeedbackResult,
    ListenerError,
    Mode,
    ModelStatus,
    Playlist,
    Reason,
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
