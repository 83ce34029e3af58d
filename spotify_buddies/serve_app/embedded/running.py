"""Whether a server that we started still runs."""

from __future__ import annotations

import subprocess


def runs(process: subprocess.Popen[bytes] | None) -> bool:
    """None: it was never started."""
    return process is not None and process.poll() is None
