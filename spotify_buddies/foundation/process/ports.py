"""TCP ports: free ones and wanted ones, reserved among the processes of this machine."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
from pathlib import Path

from spotify_buddies.foundation.process.errors import LaunchError

LOCAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Where Ray Serve puts the replicas' HTTP and gRPC servers when nobody says otherwise.
RAY = (range(30_000, 31_001), range(40_000, 41_001))
LOWEST = 1_025
HIGHEST = 65_535

_handed_out: set[int] = set()
# By port: descriptors that stay open until this process ends.
_reserved: dict[int, int] = {}
_handing_out = threading.Lock()


def free_port() -> int:
    """A random port that nobody listens on now, never the same twice. LaunchError when there is none.

    It is reserved until this process ends, so that no other process gets it from here. It lies outside the range from
    which the kernel takes the ports of outgoing connections: one of those could take it in the seconds before it is
    bound.
    """
    with _handing_out:
        left = list(_outside(_local_range()) - _handed_out)
        # At random: processes that do not know of each other would all begin with the lowest.
        while left:
            index = secrets.randbelow(len(left))
            left[index], left[-1] = left[-1], left[index]
            port = left.pop()
            if _refusal(port, "") is None and _reserve(port):
                _handed_out.add(port)
                return port
    raise LaunchError(f"no free TCP port outside {LOCAL_RANGE} and Ray's own ranges; stop what listens on them")


def free_block(count: int) -> range:
    """So many ports in a row, each as free_port gives them. LaunchError when there is no such row."""
    with _handing_out:
        outside = _outside(_local_range())
        left = outside - _handed_out
        starts = [port for port in range(min(outside, default=0), HIGHEST, count) if port in left]
        while starts:
            start = starts.pop(secrets.randbelow(len(starts)))
            block = range(start, start + count)
            if left.issuperset(block) and all(_refusal(port, "") is None for port in block) and _reserve_all(block):
                _handed_out.update(block)
                return block
    raise LaunchError(f"no {count} free TCP ports in a row outside {LOCAL_RANGE} and Ray's own ranges")


def claim(port: int, setting: str, host: str = "127.0.0.1") -> int:
    """The port itself when it is free, a free one for 0; it is reserved until this process ends.

    LaunchError names the port, its setting and what to do.
    """
    if port == 0:
        return free_port()
    reason = _refusal(port, host)
    if reason is None and not _reserve(port):
        reason = "another service that starts now has reserved it"
    if reason is not None:
        raise LaunchError(
            f"port {port} ({setting}) on {host} is not free: {reason}; stop what listens there, or set another port "
            f"(0 takes a free one)"
        )
    with _handing_out:
        _handed_out.add(port)
    return port


def _outside(local: range) -> set[int]:
    """The ports below the local range; those above it where nothing is left below."""
    below = set(range(LOWEST, local.start)).difference(*RAY)
    return below or set(range(local.stop, HIGHEST + 1)).difference(*RAY)


def _local_range() -> range:
    try:
        first, last = LOCAL_RANGE.read_text().split()
    except FileNotFoundError:
        first, last = "32768", "60999"  # Linux's default
    return range(int(first), int(last) + 1)


def _refusal(port: int, host: str) -> str | None:
    """Why a server could not listen there; None when it could. host "": on any address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        # As the servers do: a port in TIME_WAIT is free.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            # Servers with SO_REUSEPORT may share a bind, none may share a port that others already listen on.
            sock.listen(1)
        except OSError as error:
            return error.strerror or str(error)
    return None


def _reserve(port: int) -> bool:
    """Take a port, on all addresses, for this process among all that ask here; False: another one has it.

    Between the look at a port and the server that listens on it, seconds pass; and HAProxy shares a port with another
    one of the same user (SO_REUSEPORT), so two services that start together would answer each other's calls. A name in
    the abstract namespace of unix sockets is as wide as ports are, the network namespace, and ends with its holder. It
    leaves the address out: a server on all addresses collides with one on any of them.
    """
    if port in _reserved or sys.platform != "linux":
        return True
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        holder.bind(f"\0spotify-buddies/port/{port}")
    except OSError:
        holder.close()
        return False
    _reserved[port] = holder.detach()
    return True


def _reserve_all(block: range) -> bool:
    """All of them or none."""
    before = set(_reserved)
    if all(_reserve(port) for port in block):
        return True
    for port in _reserved.keys() - before:
        os.close(_reserved.pop(port))
    return False
