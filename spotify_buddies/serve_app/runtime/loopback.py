"""Ray's workers on one machine: on loopback, where nobody else needs to reach what Ray starts, and without ballast.

Ray Serve's gRPC servers bind every interface, in plaintext and without a token, and no setting changes that; whoever
reached a replica there would bypass the edge. Ray's own processes follow the address of the node, which Ray takes from
the network even where loopback is asked for, unless the flag NODE is off.

Ray Serve imports pandas where it is installed, to encode data frames that a replica might return: 65 MiB and a second
of processor time in every worker, and none of ours returns one.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from spotify_buddies.serve_app.api.limits import SERVER_OPTIONS

# Meant for systems whose firewalls ask about every open port, but read on all: "0" makes the node's address loopback.
NODE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
HOOK = "spotify_buddies.serve_app.runtime.loopback.bind_workers"
_EVERYWHERE = "[::]:"
# Imports that Ray Serve tries and can do without. BALLAST "1": let it have them.
UNNEEDED = ("pandas", "pyarrow")
BALLAST = "SPOTIFY_BUDDIES_WORKERS_IMPORT_ALL"


def bind_workers() -> None:
    """Run in each of Ray's workers before anything else there: where Serve's gRPC servers listen, and their limits."""
    leave_out(UNNEEDED)
    from ray.serve._private import constants

    # The list that servers are made with; Ray has no setting for these.
    constants.DEFAULT_GRPC_SERVER_OPTIONS += SERVER_OPTIONS
    if os.environ.get(NODE) != "0":
        return
    from ray.serve._private import default_impl, replica

    _narrow(default_impl, "add_grpc_address")
    _narrow(replica, "add_port_to_grpc_server")


def leave_out(names: tuple[str, ...]) -> None:
    """Make imports of these packages fail in this process, as if they were not installed, unless BALLAST is "1".

    Python's own way (https://docs.python.org/3/reference/import.html#the-module-cache). One that is imported stays.
    """
    if os.environ.get(BALLAST) != "1":
        for name in names:
            sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def _narrow(module: Any, name: str) -> None:
    """Make module.name(server, address) bind loopback where it is given every interface."""
    add = getattr(module, name)

    def narrowed(server: Any, address: str) -> Any:
        return add(server, address.replace(_EVERYWHERE, "127.0.0.1:"))

    setattr(module, name, narrowed)
