"""Ray on this machine alone: a port of its own, silence, and a complete end."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from spotify_buddies.foundation.process.children import children, stop_all

# In the kernel's tables of sockets (proc_net_tcp(5)).
_LISTENS = "0A"
_PORT = "dashboard_agent_listen_port"
_LOGGERS = ("ray", "ray.serve", "ray.data", "ray.tune", "ray.train", "ray._private")


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


@contextmanager
def quiet(*, errors: bool = True) -> Iterator[None]:
    """Keep what Ray's driver prints of the cluster off standard output; the same is in Ray's logs.

    errors: its error messages still go to standard error; False: nothing does, what matters is raised. Whoever holds a
    stream from before the block still writes to it.
    """
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR if errors else logging.CRITICAL)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        if errors:
            yield
            return
        with redirect_stderr(nowhere):
            yield


def stop_ray(others: set[psutil.Process], shutdown: Callable[[set[psutil.Process]], None]) -> None:
    """Shut Ray down and wait for the end of every process that came with it.

    others: the processes below this one that are not Ray's. shutdown: does it Ray's way; it is given Ray's processes,
    may add some, and may do nothing where Ray cannot be asked any more.
    """
    started = children() - others
    try:
        shutdown(started)
    finally:
        # Ray lets its agents notice by themselves, half a minute later, and until then they write. Those
        # whose parent is gone already are no longer below this process, hence the set from before.
        stop_all(started | (children() - others))


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
        status = os.fstat(descriptor)
        trusted = status.st_uid in (0, os.getuid()) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        address = file.read(300).strip() if trusted and stat.S_ISREG(status.st_mode) else ""
    port = address.rpartition(":")[2]
    return address if port.isdecimal() and _users_listening(int(port)) <= {0, os.getuid()} else ""


def _users_listening(port: int) -> set[int]:
    """The users who listen on a TCP port of this machine; a note may outlive its cluster, and others take its place."""
    users = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(FileNotFoundError), Path(table).open() as rows:
            for row in islice(rows, 1, None):
                _, local, _, state, *more = row.split()
                if state == _LISTENS and int(local.rpartition(":")[2], 16) == port:
                    users.add(int(more[3]))
    return users
