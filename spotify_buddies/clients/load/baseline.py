"""The same service on a bare grpc.aio server, as a child process: what the work costs without Ray and HAProxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spotify_buddies.clients.load.peers.child import bundle_option, child_server


@dataclass(frozen=True)
class Bare:
    """A running baseline. pid: of the server's process."""

    address: str
    pid: int
    bundle: str


@contextmanager
def bare_server(bundle: Path | None) -> Iterator[Bare]:
    """`buddies serve plain` until the block ends: with this bundle, or the one that the state directory serves.

    LoadError: it does not come up.
    """
    arguments = ("serve", "plain", "--with-parent", "--json", *bundle_option(bundle))
    with child_server("the baseline server", *arguments) as (said, pid):
        yield Bare(said["grpc"], pid, said["bundle"])
