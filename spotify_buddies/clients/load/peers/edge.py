"""The edge in front of the service: its processes, where it listens on this machine."""

from __future__ import annotations

from contextlib import suppress

import psutil

from spotify_buddies.clients.python.channel import is_local


def listeners(address: str) -> tuple[int, ...]:
    """Ids of this machine's processes that listen at host:port; none where it is elsewhere, or another user's."""
    port = address.rpartition(":")[2]
    if not is_local(address) or not port.isdecimal():
        return ()
    found: set[int] = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            sockets = process.net_connections("tcp")
            if any(one.status == psutil.CONN_LISTEN and one.laddr.port == int(port) for one in sockets):
                found.add(process.pid)
    return tuple(sorted(found))
