"""Ray's switches: set in the environment before Ray Serve is imported, and compared with what it read."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from spotify_buddies.foundation.process.environment import environment
from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.ports import free_block, free_port
from spotify_buddies.foundation.process.private import secret
from spotify_buddies.foundation.process.run_dir import RunDir
from spotify_buddies.serve_app.api.standard.health import NOTE
from spotify_buddies.serve_app.http1.place import DIRECTORY
from spotify_buddies.serve_app.runtime.front import wrapper
from spotify_buddies.serve_app.runtime.loopback import NODE
from spotify_buddies.serve_app.settings.serve import ServeSettings

# One letter: Ray adds a directory of 56 characters below, and a socket's path is short.
HAPROXY = "h"
STOP_NOTE = "stopping"
HAPROXY_METRICS = "RAY_SERVE_HAPROXY_METRICS_PORT"
# More than the replicas of one node: Ray keeps a port back for minutes after its replica is gone.
REPLICA_PORTS = 64
CONNECTIONS = 20_000
SILENT_S = 30
# Beside two for each connection HAProxy wants some thousands for its own listeners and checks.
SPARE_FILES = 5_500
# An answer for 1,000 users with 100 explained playlists each is about 35 MB.
MESSAGE_BYTES = 64 * 2**20
# A token that would replace ours, and another cluster's address.
UNWANTED = ("RAY_AUTH_TOKEN", "RAY_ADDRESS")
TOKEN = "ray-token"  # noqa: S105 - a file name


def flags(settings: ServeSettings, run: RunDir, token_file: Path) -> dict[str, str]:
    """Environment variables of one run. What is run or read as a note lies beside what Ray is given, not in it."""
    return {
        NOTE: str(run.path / STOP_NOTE),
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # Fifteen by default, meant for batch work: replicas would get a thirtieth of what HAProxy and callers on this
        # machine get of a busy processor.
        "RAY_worker_niceness": "0",
        # Workers in advance, which no actor of ours can use: they have an environment of their own. 80 MiB and 0.4 s of
        # processor time each.
        "RAY_enable_worker_prestart": "0",
        "RAY_prestart_worker_first_driver": "0",
        # Ten seconds by default, and three of them until a dead HAProxy is replaced.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2",
        # Thirty seconds by default, meant for load balancers outside the machine.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(settings.drain_s),
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": str(max(settings.drain_s, 0.1)),
        NODE: "0",
        # Five seconds by default, after which Ray ends a front that comes up slowly on a busy machine.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
        # The channel between replicas unpickles what it is sent: only for those who hold the token.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        # Both ways. Requests have a lower limit (`api.limits`), with a clear answer; beyond this gRPC cuts them off.
        "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(MESSAGE_BYTES),
        "RAY_SERVE_LOG_TO_STDERR": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        **_ports(),
        **_front(settings, run.path / HAPROXY),
    }


def _ports() -> dict[str, str]:
    """Ports of Ray's own servers, each of which every run would bind at the same place otherwise."""
    http, grpc = free_block(REPLICA_PORTS), free_block(REPLICA_PORTS)
    return {
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(free_port()),
        # Ray turns SO_REUSEPORT off with a string, which gRPC ignores: the replicas of two services on one machine
        # would share ports, and answer each other's requests.
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(http.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(http.stop),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(grpc.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(grpc.stop),
        # Both bind all interfaces on fixed ports otherwise, so a second run on the machine would fail.
        HAPROXY_METRICS: str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        # Fixed too, and on loopback.
        "DASHBOARD_METRIC_PORT": str(free_port()),
        "AUTOSCALER_METRIC_PORT": str(free_port()),
    }


def _front(settings: ServeSettings, directory: Path) -> dict[str, str]:
    """HAProxy's limits, and its files."""
    wanted = {
        "RAY_SERVE_ENABLE_HA_PROXY": "1" if settings.haproxy else "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_MAXCONN": str(_most_connections()),
        # An hour by default: silent connections would keep newcomers out for that long.
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(SILENT_S),
        # A hundred by default: a caller who does not read blocks all others on its connection to the replica.
        "RAY_SERVE_HAPROXY_H2_BE_MAX_CONCURRENT_STREAMS": "1",
        # The admin socket is open to every user of the machine by default, under /tmp.
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(directory / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(directory / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(directory / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(directory),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(directory / "server-state"),
    }
    binary = {"RAY_SERVE_HAPROXY_BINARY_PATH": str(directory / wrapper.NAME)} if settings.haproxy else {}
    return wanted | binary | {DIRECTORY: str(directory) if settings.haproxy and settings.http1 else ""}


def _most_connections() -> int:
    """Connections that HAProxy may hold; it does not start where it may not open the files for them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(256, min(CONNECTIONS, (hard - SPARE_FILES) // 2))


def write_token(state_dir: Path) -> Path:
    """The file that holds this state directory's Ray token."""
    return secret(state_dir / TOKEN)


@contextmanager
def applied(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set the variables for the length of the block. LaunchError when Ray Serve was imported with other ones."""
    fresh = "ray.serve" not in sys.modules
    with environment({**wanted, **dict.fromkeys(UNWANTED)}):
        _verify(wanted, fresh)
        yield


def _verify(wanted: Mapping[str, str], fresh: bool) -> None:
    from ray._private import ray_constants
    from ray.serve._private import constants

    if getattr(ray_constants, "ENABLE_RAY_CLUSTER", True):
        raise LaunchError("Ray was imported before; start the server in a process of its own")

    for name in ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED"):
        in_force = getattr(constants, name, None)
        if in_force is None:
            raise LaunchError(f"this Ray release does not know {name}; install the one in pyproject.toml")
        if bool(in_force) != (wanted[name] == "1"):
            hint = "" if fresh else ": Ray Serve was imported before; start the server in a process of its own"
            raise LaunchError(f"Ray Serve runs with {name}={int(bool(in_force))}, wanted {wanted[name]}{hint}")
