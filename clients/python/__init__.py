"""Typed client of the recommendation service, synchronous (`Client`) and asynchronous (`AsyncClient`)."""

from clients.python.aio import AsyncClient
from clients.python.client import Client
from clients.python.errors import (
    BuddiesError,
    DeadlineExceeded,
    InvalidRequest,
    ServerBusy,
    ServiceFailure,
    ServiceUnavailable,
    Violation,
)
from clients.python.retry import Retry
from clients.python.service_config import SERVICE_CONFIG
from clients.python.types import (
    Arm,
    FeedbackResult,
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
    "Arm",
    "AsyncClient",
    "BuddiesError",
    "Client",
    "DeadlineExceeded",
    "FeedbackResult",
    "InvalidRequest",
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
]
