"""Errors of a cluster."""

from __future__ import annotations

from spotify_buddies.foundation.stages.stage import StageError


class ClusterError(StageError):
    """Ray cannot be used, or a stage cannot be finished on it; the message says what to do."""
