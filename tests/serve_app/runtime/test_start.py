"""What a start refuses, before anything is running."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from spotify_buddies.foundation.process.children import children, left_of
from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.ports import free_port
from spotify_buddies.foundation.process.run_dir import RunDir
from spotify_buddies.serve_app.embedded import COMPLETE, postgres, start_services, valkey
from spotify_buddies.serve_app.embedded.running import NOTES
from spotify_buddies.serve_app.http1.place import DIRECTORY
from spotify_buddies.serve_app.runtime.flags import HAPROXY, REPLICA_PORTS, flags, write_token
from spotify_buddies.serve_app.runtime.launch import launch
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.trainer.bundle import BundleError
from spotify_buddies.trainer.registry.registry import Registry
from tests.processes import sockets
from tests.strangers import reached
from tests.waiting import WITHIN_S

NO_PORTS = {"grpc_port": 0, "http_port": 0, "dashboard_port": 0}


@pytest.mark.parametrize("setting", ["grpc_port", "http_port", "dashboard_port"])
def test_a_taken_port_is_named_with_its_setting_and_what_to_do(setting: str, bundle_dir: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        settings = ServeSettings(**{**NO_PORTS, setting: port})
        with (
            pytest.raises(LaunchError, match=rf"port {port} \(serve\.{setting}\).*not free.*set another port"),
            launch(settings, bundle_dir, "1", Services(), state_dir=tmp_path),
        ):
            raise AssertionError("it started")


def test_replicas_of_two_services_on_one_machine_get_ports_of_their_own(tmp_path: Path) -> None:
    # Ray Serve's replicas set SO_REUSEPORT: on one port, each would answer requests of the other's listeners.
    taken: set[int] = set()
    for _ in range(2):
        found = flags(ServeSettings(), RunDir(tmp_path), tmp_path / "token")
        for protocol in ("HTTP", "GRPC"):
            first, last = (int(found[f"RAY_SERVE_DIRECT_INGRESS_{end}_{protocol}_PORT"]) for end in ("MIN", "MAX"))
            assert last - first == REPLICA_PORTS
            assert taken.isdisjoint(range(first, last))
            taken.update(range(first, last))


@pytest.mark.parametrize(
    ("haproxy", "http1", "there"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_replicas_listen_on_sockets_where_haproxy_uses_them(
    haproxy: bool, http1: bool, there: bool, tmp_path: Path
) -> None:
    found = flags(ServeSettings(haproxy=haproxy, http1=http1), RunDir(tmp_path), tmp_path / "token")
    # Empty, and not missing: the service may be started by a process that is below another one's replica.
    assert found[DIRECTORY] == (str(tmp_path / HAPROXY) if there else "")


def test_one_port_for_two_fronts_is_refused(bundle_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = ServeSettings(grpc_port=port, http_port=port, dashboard_port=0)
    with (
        pytest.raises(LaunchError, match="must differ"),
        launch(settings, bundle_dir, "1", Services(), state_dir=tmp_path),
    ):
        raise AssertionError("it started")


def test_a_bundle_with_one_byte_flipped_is_refused_by_its_hash(bundle_dir: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle_dir, tmp_path / "bundle"))
    path = copy / "factors.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with (
        pytest.raises(BundleError, match=r"factors\.safetensors: differs from the sha256"),
        launch(ServeSettings(**NO_PORTS), copy, "1", Services(), state_dir=tmp_path),
    ):
        raise AssertionError("it started")


def test_the_mlflow_port_that_is_taken_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with (
            pytest.raises(LaunchError, match=rf"port {port} \(serve\.mlflow_port\)"),
            start_services(tmp_path, mlflow_port=port),
        ):
            raise AssertionError("it started")
    assert list(tmp_path.iterdir()) == []


def test_an_initdb_that_was_cut_off_is_repeated_and_a_finished_one_is_kept(data_dir: Path) -> None:
    import psycopg

    data_dir.mkdir()
    (data_dir / "PG_VERSION").write_text("18\n")
    with postgres(data_dir) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept ()")
    assert (data_dir / COMPLETE).exists()
    # A note of a run that was killed: the number belongs to another program now.
    (data_dir / "postmaster.pid").write_text(f"{os.getpid()}\n{data_dir}\n")
    with postgres(data_dir) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_given_addresses_start_nothing(tmp_path: Path) -> None:
    with start_services(tmp_path, "postgresql://a", "redis://b", "http://c") as services:
        assert services == Services("postgresql://a", "redis://b", "http://c")
    assert list(tmp_path.iterdir()) == []


def test_a_state_directory_with_a_long_path_still_gets_a_socket(tmp_path: Path) -> None:
    from redis import Redis

    data = tmp_path / ("x" * 120) / "valkey"
    with valkey(data) as url, Redis.from_url(url) as client:
        assert client.ping()
        path = Path(url.removeprefix("unix://"))
        assert len(str(path)) < 107
    assert not path.exists()


def test_the_token_is_the_owners_alone_and_stays_the_same(tmp_path: Path) -> None:
    path = write_token(tmp_path)
    token = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) == 64
    assert write_token(tmp_path).read_text() == token


def test_haproxys_files_lie_in_the_runs_own_directory(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for name, value in flags(ServeSettings(), run, tmp_path / "token").items():
        if name.startswith("RAY_SERVE_HAPROXY") and value.startswith("/"):
            assert Path(value).is_relative_to(tmp_path / HAPROXY), name
            assert not Path(value).is_relative_to(run.public), name


def test_what_a_killed_run_left_running_is_stopped_by_the_next(tmp_path: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    started = psutil.Process(left.pid).create_time()
    (tmp_path / NOTES).write_text(json.dumps([[left.pid, started], [os.getpid(), started]]))
    with start_services(tmp_path, "postgresql://a", "redis://b", "http://c"):
        assert left.poll() is not None
    assert list(tmp_path.iterdir()) == []


def test_every_service_starts_from_its_wheel_and_ends_with_the_block(data_dir: Path) -> None:
    import psycopg
    from redis import Redis

    state = data_dir.parent / "state"
    before = children()
    with start_services(state) as services:
        assert services.postgres_url is not None
        assert services.redis_url is not None
        with psycopg.connect(services.postgres_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with Redis.from_url(services.redis_url) as client:
            assert client.ping()
        assert_only_the_token_opens(str(services.mlflow_uri))
        data_dir.parent.chmod(0o755)
        assert reached([state]) == []
        postmaster = psutil.Process(int((state / "postgres" / "postmaster.pid").read_text().split()[0]))
        listening = [
            connection.laddr.ip
            for process in {postmaster, *(children() - before)}
            for _, connection in sockets(process)
            if connection.status == psutil.CONN_LISTEN
        ]
        assert set(listening) == {"127.0.0.1"}  # MLflow; the stores have unix sockets
    assert left_of([postmaster], WITHIN_S) == []
    assert children() - before == set()
    assert sorted(path.name for path in state.iterdir()) == ["mlflow", "mlflow-token", "postgres", "valkey"]


def assert_only_the_token_opens(uri: str) -> None:
    """The registry's address, as it is given; without its token, or under another name, nothing is told."""
    login, _, place = uri.removeprefix("http://").partition("@")
    token = login.partition(":")[2]
    search = f"http://{place}/api/2.0/mlflow/registered-models/search"

    def status(url: str, body: bytes | None = None, **headers: str) -> int:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=WITHIN_S) as answered:
                return int(answered.status)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code

    basic = base64.b64encode(login.encode()).decode()
    assert status(f"http://{place}/health") == 200
    assert status(search) == status(search, Authorization="Bearer wrong") == 401
    assert status(search, Authorization=f"Basic {basic[:-4]}") == 401
    assert status(search, Authorization=f"Basic {basic}") == status(search, Authorization=f"Bearer {token}") == 200
    assert status(search, Authorization=f"Bearer {token}", Host="evil.example") == 403
    create = search.replace("search", "create")
    assert status(create, b'{"name": "x"}', Authorization=f"Bearer {token}", Origin="http://evil.example") == 403
    assert Registry(uri, "organic-playlists").list_versions() == []


def test_serving_imports_neither_torch_nor_training(bundle_dir: Path) -> None:
    code = f"""
import sys, importlib, pathlib, pkgutil
from spotify_buddies import serve_app
from spotify_buddies.trainer.bundle import open_bundle
for module in pkgutil.walk_packages(serve_app.__path__, "spotify_buddies.serve_app."):
    # MLflow's server and the published way to serve, in processes of their own, bring what they like.
    if not module.name.endswith((".cli", ".tracking_app", ".published_ranking")):
        importlib.import_module(module.name)
from spotify_buddies.serve_app.ranking.engine import Engine
import spotify_buddies.pairing.neighbours.search
Engine(open_bundle(pathlib.Path({str(bundle_dir)!r})), "1").warm_up()
training = ("spotify_buddies.trainer.models", "spotify_buddies.trainer.dataset")
bad = [n for n in sys.modules if n.split(".")[0] == "torch" or n.startswith(training)]
sys.exit(f"imported: {{bad}}" if bad else 0)
"""
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
