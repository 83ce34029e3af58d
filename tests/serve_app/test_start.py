"""What a start refuses, before anything is running."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from serve_app.build import Services
from serve_app.embedded import LEFTOVERS, start_services, valkey
from serve_app.errors import LaunchError
from serve_app.flags import HAPROXY, flags, write_token
from serve_app.launch import OWNER, launch, sweep
from serve_app.ports import claim, free_port
from serve_app.processes import children
from serve_app.settings import ServeSettings
from trainer.bundle import BundleError

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


def test_a_free_port_is_taken_as_it_is_and_zero_finds_one() -> None:
    port = free_port()
    assert claim(port, "x") == port
    assert claim(0, "x") > 0


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
    for name, value in flags(ServeSettings(), tmp_path, tmp_path / "token").items():
        if name.startswith("RAY_SERVE_HAPROXY") and value.startswith("/"):
            assert Path(value).is_relative_to(tmp_path / HAPROXY), name


def test_the_directory_of_a_run_that_was_killed_is_removed_and_a_living_one_stays(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name, pid in (("b-dead", gone.pid), ("b-alive", os.getpid())):
        (tmp_path / name).mkdir()
        (tmp_path / name / OWNER).write_text(str(pid))
    (tmp_path / "b-other").mkdir()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b-alive", "b-other"]


def test_what_a_killed_run_left_running_is_stopped_by_the_next(tmp_path: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    started = psutil.Process(left.pid).create_time()
    (tmp_path / LEFTOVERS).write_text(json.dumps([[left.pid, started], [os.getpid(), started]]))
    with start_services(tmp_path, "postgresql://a", "redis://b", "http://c"):
        assert not psutil.pid_exists(left.pid)
    left.wait(timeout=10)
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
        with urllib.request.urlopen(f"{services.mlflow_uri}/health", timeout=5) as answered:
            assert answered.status == 200
        postmaster = psutil.Process(int((state / "postgres" / "postmaster.pid").read_text().split()[0]))
    psutil.wait_procs([postmaster], timeout=5)
    assert not postmaster.is_running()
    assert children() - before == set()
    assert sorted(path.name for path in state.iterdir()) == ["mlflow", "postgres", "valkey"]


def test_serving_imports_neither_torch_nor_training(bundle_dir: Path) -> None:
    code = f"""
import sys, importlib, pathlib, serve_app
from trainer.bundle import open_bundle
for path in pathlib.Path(serve_app.__file__).parent.glob("*.py"):
    if path.stem != "cli":
        importlib.import_module(f"serve_app.{{path.stem}}")
from serve_app.engine import Engine
import pairing.search
Engine(open_bundle(pathlib.Path({str(bundle_dir)!r})), "1").warm_up()
bad = [n for n in sys.modules if n.split(".")[0] == "torch" or n.startswith(("trainer.bpr", "trainer.dataset"))]
sys.exit(f"imported: {{bad}}" if bad else 0)
"""
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
