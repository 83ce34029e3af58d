"""A service whose configured stores are unreachable, as a process with Ray."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.clients.python.client import Client
from spotify_buddies.foundation.process.children import still_runs
from spotify_buddies.serve_app.settings.command import ENDPOINTS, HAPROXY_TARGETS
from spotify_buddies.serve_app.versions.fetch import Shelf
from spotify_buddies.serve_app.versions.retention import DAY_S, prune
from tests.waiting import WITHIN_S, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
WEEKS_AGO = time.time() - 20 * DAY_S
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Started:
    """A service that is up."""

    state: Path
    endpoints: dict[str, Any]


@pytest.fixture(scope="module")
def service(bundle_dir: Path) -> Iterator[Started]:
    """`buddies serve start` with a bundle on its shelf that is weeks old, and two stores that refuse connections.

    When it has ended, what it said is checked.
    """
    ports = dict.fromkeys(("GRPC", "HTTP", "DASHBOARD", "MLFLOW"), "0")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUDDIES_", "MLFLOW_"))}
    with tempfile.TemporaryDirectory(prefix="buddies-session-") as directory, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port, state = taken.getsockname()[1], Path(directory) / "state"
        bundle = Path(shutil.copytree(bundle_dir, state / "bundles" / "7"))
        os.utime(bundle, (WEEKS_AGO, WEEKS_AGO))
        process = subprocess.Popen(
            [sys.executable, "-m", "spotify_buddies.clients.main", "serve", "start", "--bundle", str(bundle)],
            env={
                **inherited,
                **{f"BUDDIES_SERVE__{name}_PORT": number for name, number in ports.items()},
                "BUDDIES_SERVE__DRAIN_S": "0.2",
                "BUDDIES_STATE_DIR": str(state),
                "BUDDIES_POSTGRES_URL": f"postgresql://me:secret@127.0.0.1:{port}/likes",
                "BUDDIES_REDIS_URL": f"redis://:secret@127.0.0.1:{port}/0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            wait_until((state / ENDPOINTS).exists, "the start", 600, process)
            started = Started(state, json.loads((state / ENDPOINTS).read_bytes()))
            yield started
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=120)[0]
        check_what_it_said(started, said, port)


def check_what_it_said(service: Started, said: str, port: int) -> None:
    lines = said.splitlines()
    warnings = [line for line in lines if line.startswith("warning: ")]
    assert [f"127.0.0.1:{port}" in line for line in warnings] == [True, True], said
    assert "Feedback is UNAVAILABLE" in warnings[0]
    assert "daily lists are answered live" in warnings[1]
    assert lines.index(warnings[1]) < next(row for row, line in enumerate(lines) if line.startswith("serving version"))
    assert "secret" not in said
    assert f"its token is in {service.state / 'ray-token'}" in said
    assert str(service.state / HAPROXY_TARGETS) in said
    assert not (service.state / HAPROXY_TARGETS).exists()


def test_the_bundle_that_a_release_may_begin_with_is_not_deleted_while_the_service_runs(service: Started) -> None:
    bundle = Path(service.endpoints["bundle"])
    assert bundle == (service.state / "bundles" / "7").resolve()
    assert prune(Shelf("", "", service.state / "bundles"), (), 14) == []
    assert bundle.is_dir()


def test_the_noted_start_is_that_of_the_noted_process(service: Started) -> None:
    assert still_runs(service.endpoints["pid"], service.endpoints["started"])
    assert not still_runs(service.endpoints["pid"], service.endpoints["started"] - 60)


def test_it_serves_without_its_stores(service: Started) -> None:
    with Client(service.endpoints["grpc"]) as client:
        (answer,) = client.recommend(["user-1"])
    assert answer.playlists


def test_haproxys_metrics_are_a_listed_target_and_the_named_token_opens_them(service: Started) -> None:
    (group,) = json.loads((service.state / HAPROXY_TARGETS).read_bytes())
    (target,) = group["targets"]
    assert service.endpoints["haproxy_metrics"] == f"http://{target}/metrics"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        _direct.open(service.endpoints["haproxy_metrics"], timeout=WITHIN_S)
    token = Path(service.endpoints["ray_token"]).read_text()
    asked = urllib.request.Request(f"http://{target}/metrics", headers={"Authorization": f"Bearer {token}"})
    with _direct.open(asked, timeout=WITHIN_S) as answered:
        assert b"haproxy_backend_active_servers" in answered.read()


def test_rays_own_targets_are_where_the_endpoints_say(service: Started) -> None:
    path = Path(service.endpoints["ray_metrics_targets"])
    wait_until(path.exists, "Ray's list of targets, which it writes every few seconds")
    groups = json.loads(path.read_bytes())
    assert all(group["targets"] for group in groups)
