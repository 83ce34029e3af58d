"""Where a replica listens for HTTP/1.1, known to the replica and to the front; the front imports nothing else here."""

from __future__ import annotations

from pathlib import Path

# The variable that names the directory of the sockets, private to this system user; without it nobody listens there.
DIRECTORY = "SPOTIFY_BUDDIES_HTTP1"
HEALTH = "/-/healthz"


def socket_of(directory: str, replica_id: str) -> Path:
    """The unix socket of a replica."""
    return Path(directory) / f"{replica_id}.sock"
