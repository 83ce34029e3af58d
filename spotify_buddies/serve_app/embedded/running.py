"""Servers that run: where they are noted, and whether one still does."""

from __future__ import annotations

import subprocess

# In the state directory: the servers of the service there.
NOTES = "services.json"


def runs(process: subprocess.Popen[bytes] | None) -> bool:
    """None: it was never started."""
    return process is not None and process.poll() is None
