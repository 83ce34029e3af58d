"""A service whose configured stores are unreachable, as a process with Ray."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.clients.python.client import Client
from spotify_buddies.serve_app.settings.command import ENDPOINTS, HAPROXY_TARGETS
from tests.waiting import wait_until

pytestmark = pytest.mark.ray
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Started:
    """A service that is up."""

    state: Path
    endpoints: dict[str, Any]


@pytest.fixture(scope="module")
def service(bundle_dir: Path) -> Iterator[Started]:
    """`buddies serve start` with two stores that refuse connections; when it has ended, what it said is checked."""
    ports = dict.fromkeys(("GRPC", "HTTP", "DASHBOARD", "MLFLOW"), "0")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUDDIES_", "MLFLOW_"))}
    with tempfile.TemporaryDirectory(prefix="buddies-session-") as directory, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port, state = taken.getsockname()[1], Path(directory) / "state"
        process = subprocess.Popen(
            [sys.executable, "-m", "spotify_buddies.clients.main", "serve", "start", "--bundle", str(bundle_dir)],
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
            wait_until((state / ENDPOINTS).exists, "the start", 180, process)
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


def test_it_serves_without_its_stores(service: Started, bundle_dir: Path) -> None:
    with Client(service.endpoints["grpc"]) as client:
        (answer,) = client.recommend(["user-1"])
    assert answer.playlists


def test_haproxys_metrics_are_a_listed_target_and_the_named_token_opens_them(service: Started) -> None:
    (group,) = json.loads((service.state / HAPROXY_TARGETS).read_bytes())
    (target,) = group["targets"]
    assert service.endpoints["haproxy_metrics"] == f"http://{target}/metrics"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        _direct.open(service.endpoints["haproxy_metrics"], timeout=20)
    token = Path(service.endpoints["ray_token"]).read_text()
    asked = urllib.request.Request(f"http://{target}/metrics", headers={"Authorization": f"Bearer {token}"})
    with _direct.open(asked, timeout=20) as answered:
        assert b"haproxy_backend_active_servers" in answered.read()


def test_rays_own_targets_are_where_the_endpoints_say(service: Started) -> None:
    path = Path(service.endpoints["ray_metrics_targets"])
    wait_until(path.exists, "Ray's list of targets, which it writes every few seconds")
    groups = json.loads(path.read_bytes())
    assert all(group["targets"] for group in groups)
