"""`buddies load` against the real service, with its baseline beside it."""

import json

import pytest

from spotify_buddies.clients.command.endpoints import Endpoints
from tests.system.conftest import Commands

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_the_service_of_a_state_directory_is_loaded_watched_and_compared(trained: Commands, service: Endpoints) -> None:
    body = json.loads(
        trained.run(
            "load", "--baseline", "--rounds", "1", "--duration", "2", "--warmup", "0.2", "--callers", "4", "--json",
            "--mix", "known=6,taste=1,unknown=1,feedback=2", "--check-every", "1", "--timeout", "30",
        )
    )  # fmt: skip
    measured, baseline = body["service"], body["baseline"]
    assert (measured["errors"], baseline["errors"]) == ([], [])
    assert body["target"]["address"] == service.grpc
    assert set(measured["kinds"]) == {"known", "taste", "unknown", "feedback"}
    names = [process["name"] for process in measured["server_usage"]["processes"]]
    assert any("Recommender" in name for name in names), names
    assert measured["server_usage"]["cpu_s"] > 0
    assert body["ratio_to_baseline"]["calls_per_s"] > 0
    assert service.bundle


def test_a_directory_without_a_bundle_is_not_served(trained: Commands, service: Endpoints) -> None:
    other = Commands(trained.state_dir / "other", trained.extra)
    said = other.run("serve", "start", "--bundle", str(trained.state_dir / "nothing"), expect=1)
    assert "no bundle here" in said
