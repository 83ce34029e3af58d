"""Ray on this machine alone, as far as `ray.init` does not let one choose."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
        trusted = found.st_uid in (0, os.getuid()) and not found.st_mode & stat.S_IWOTH
        return file.read(300).strip() if trusted and stat.S_ISREG(found.st_mode) else ""
