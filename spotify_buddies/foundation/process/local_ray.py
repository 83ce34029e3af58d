"""Ray on this machine alone, as far as `ray.init` does not let one choose."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

# In the kernel's tables of sockets (proc_net_tcp(5)).
_LISTENS = "0A"
_PORT = "dashboard_agent_listen_port"


@contextmanager
def free_agent_port() -> Iterator[None]:
    """Within the block Ray's agent gets a free port for HTTP.

    It is 52365 otherwise, whoever listens there: a second Ray on the machine goes without, and a stranger who took the
    port first is sent the token.
    """
    from ray._private.parameter import RayParams

    init = RayParams.__init__

    def with_free_port(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **{_PORT: 0, **kwargs})

    RayParams.__init__ = with_free_port
    try:
        yield
    finally:
        RayParams.__init__ = init


def announced_address() -> str:
    """host:port of the cluster that `ray start` left running here, as this user or root; empty: there is none.

    Ray notes it in a directory where everybody may write, and whoever joins a cluster runs what it sends.
    """
    from ray._private.utils import get_ray_address_file

    try:
        descriptor = os.open(get_ray_address_file(None), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor) as file:
        found = os.fstat(descriptor)
        trusted = found.st_uid in (0, os.getuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        address = file.read(300).strip() if trusted and stat.S_ISREG(found.st_mode) else ""
    port = address.rpartition(":")[2]
    return address if port.isdecimal() and _listeners(int(port)) <= {0, os.getuid()} else ""


def _listeners(port: int) -> set[int]:
    """The users who listen on a TCP port of this machine; a note may outlive its cluster, and others take its place."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(FileNotFoundError), Path(table).open() as rows:
            for row in islice(rows, 1, None):
                _, local, _, state, *more = row.split()
                if state == _LISTENS and int(local.rpartition(":")[2], 16) == port:
                    found.add(int(more[3]))
    return found
