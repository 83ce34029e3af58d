"""The same service on plain grpc.aio, on Ray Serve behind HAProxy over either way, and behind Ray's own proxy."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from spotify_buddies.foundation.process.children import left_of
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from spotify_buddies.serve_app.daily.run import run_daily
from spotify_buddies.serve_app.embedded import postgres, valkey
from spotify_buddies.trainer.bundle import open_bundle
from tests.waiting import WITHIN_S

HERE = Path(__file__).parent
# haproxy-grpc: without HTTP/1.1 between HAProxy and the replicas.
KINDS = ["plain", *(pytest.param(kind, marks=pytest.mark.ray) for kind in ("haproxy", "haproxy-grpc", "proxy"))]


class Database:
    """A Postgres that a test can take away and bring back under the same address."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._stack = contextlib.ExitStack()
        self.url = ""

    def start(self) -> None:
        self.url = self._stack.enter_context(postgres(self._data))

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture(scope="package")
def database() -> Iterator[Database]:
    # Not in pytest's own folder: as root Postgres runs as another user, who may not enter it.
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        made = Database(Path(directory) / "data")
        made.start()
        yield made
        made.stop()


@pytest.fixture(scope="package")
def redis_url(tmp_path_factory: pytest.TempPathFactory, bundle_dir: Path) -> Iterator[str]:
    from redis import Redis

    with valkey(tmp_path_factory.mktemp("valkey") / "data") as url:
        with Redis.from_url(url) as client:
            run_daily(open_bundle(bundle_dir), "7", client, model="m", now=datetime.now(UTC), ttl_s=3600)
        yield url


@pytest.fixture(scope="package", params=KINDS)
def address(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    bundle_dir: Path,
    database: Database,
    redis_url: str,
) -> Iterator[str]:
    """host:port of a running server. Its end is checked: SIGTERM leaves no process and no file."""
    state = tmp_path_factory.mktemp("state")
    command = [
        sys.executable,
        str(HERE / "server.py"),
        request.param,
        str(bundle_dir),
        str(state),
        database.url,
        redis_url,
    ]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    log = state / "server.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment)
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()
        assert line, f"the server did not start:\n{log.read_text()[-4000:]}"
        ready: dict[str, Any] = json.loads(line)
        started = psutil.Process(process.pid).children(recursive=True)
        yield ready["grpc"]
        started += psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(timeout=2 * WITHIN_S)
    alive = left_of(started, WITHIN_S)
    assert alive == [], f"processes outlived the server:\n{log.read_text()[-4000:]}"
    assert process.returncode == (0 if request.param == "plain" else 143)
    assert ready["run"] == "" or not Path(ready["run"]).exists()


@pytest.fixture
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.Channel) -> RecommenderServiceStub:
    return RecommenderServiceStub(channel)
