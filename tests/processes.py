"""What the tests ask about processes that may end while they are being asked."""

from __future__ import annotations

from typing import Any

import psutil


def sockets(process: psutil.Process) -> list[tuple[str, Any]]:
    """The process's name with each of its internet sockets; empty where it has ended since it was listed."""
    try:
        name = process.name()
        return [(name, connection) for connection in process.net_connections("inet")]
    except psutil.NoSuchProcess:
        return []
