"""A check of drift that is stored reaches Prometheus through the running service."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import psycopg
import pytest

from spotify_buddies.clients.command.endpoints import Endpoints
from spotify_buddies.serve_app.settings.command import ENDPOINTS, read_endpoints
from tests.system.conftest import Commands
from tests.waiting import WITHIN_S, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def scraped(targets: Path) -> str:
    """What Prometheus would read now from all of Ray's targets of the service."""
    if not targets.exists():
        return ""
    found = [target for group in json.loads(targets.read_bytes()) for target in group["targets"]]
    texts = []
    for target in found:
        with _direct.open(f"http://{target}/metrics", timeout=WITHIN_S) as answered:
            texts.append(answered.read().decode())
    return "\n".join(texts)


def drift_of(text: str) -> dict[tuple[str, str, str], float]:
    """Values by (metric, signal, against)."""
    found = {}
    for name, labels, value in re.findall(r"^ray_(drift_\w+)\{(.*?)\} (\S+)$", text, re.MULTILINE):
        named = dict(re.findall(r'(\w+)="(.*?)"', labels))
        found[name, named.get("signal", ""), named.get("against", "")] = float(value)
    return found


def test_the_newest_check_is_told_with_its_alarms(trained: Commands, service: Endpoints) -> None:
    findings = json.loads(trained.ask("drift", "check", "--json"))["findings"]
    written = read_endpoints(trained.state_dir)
    assert written is not None
    targets = Path(json.loads((trained.state_dir / ENDPOINTS).read_bytes())["ray_metrics_targets"])
    # As a check would have found it in a store of some weeks.
    with psycopg.connect(written.needed("postgres"), autocommit=True) as connection:
        connection.execute(
            "UPDATE drift_checks SET value = 0.25, threshold = 0.125, alarm = true"
            " WHERE signal = 'cold_users' AND against = 'day'"
        )
    wave = ("cold_users", "day")
    found = wait_until(
        lambda: (of := drift_of(scraped(targets))).get(("drift_alarm", *wave)) == 1 and of, "the alarm", 2 * WITHIN_S
    )
    assert (found["drift_value", *wave], found["drift_threshold", *wave]) == (0.25, 0.125)
    expected = {(one["signal"], one["against"]): float(one["threshold"] is not None) for one in findings}
    assert {key[1:]: value for key, value in found.items() if key[0] == "drift_judged"} == {**expected, wave: 1.0}
    assert {key[1:]: value for key, value in found.items() if key[0] == "drift_alarm"} == {
        key: float(key == wave) for key in expected
    }
    assert found["drift_checked_timestamp_seconds", "", ""] > 1_700_000_000
