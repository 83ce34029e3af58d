"""Errors of starting processes."""

from __future__ import annotations


class LaunchError(Exception):
    """A process could not be started, or did not come up. The message says why and what to do."""
