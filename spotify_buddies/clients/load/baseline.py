"""The same service on a bare grpc.aio server, as a child process: what the work costs without Ray and HAProxy."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spotify_buddies.clients.command.invoke import command, stop
from spotify_buddies.clients.load.client_processes import LoadError

READY_WITHIN_S = 120.0
STOP_WITHIN_S = 15.0


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
    named = ("--bundle", str(bundle)) if bundle else ()
    # A session of its own: Ctrl-C is for the measurement, and this server is stopped after it.
    process = subprocess.Popen(
        command("serve", "plain", "--with-parent", "--json", *named), stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        said = json.loads(_first_line(process))
        yield Bare(said["grpc"], process.pid, said["bundle"])
    finally:
        stop(process, STOP_WITHIN_S)
        if process.stdout is not None:
            process.stdout.close()


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    if process.stdout is None:
        raise ValueError("started without a pipe")
    deadline, text = time.monotonic() + READY_WITHIN_S, b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while b"\n" not in text:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise LoadError(f"the baseline server is not ready within {READY_WITHIN_S:.0f} s")
            part = os.read(process.stdout.fileno(), 65_536)
            if not part:
                code = process.wait()
                raise LoadError(
                    f"the baseline server ended with code {code}; its messages are above; --bundle names a bundle"
                )
            text += part
    return text
