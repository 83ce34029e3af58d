"""`buddies load` through a real edge: TLS and a token for every call, and the edge as a row beside the service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spotify_buddies.clients.load.baseline import bare_server
from tests.clients.buddies_process import buddies
from tests.deploy.conftest import Start


def test_load_speaks_tls_and_sends_the_token(
    start: Start, certificates: Path, bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUDDIES_STATE_DIR", str(tmp_path / "bare"))
    (tmp_path / "ids").write_text("user-1\nuser-2\n")
    with bare_server(bundle_dir) as bare:
        edge = start(bare.address, CALLS_PER_S="100000")
        token = edge.add("partner")
        edge.reload()
        common = ("--ca", str(certificates / "ca.pem"), "--ids", "ids", "--duration", "0.5", "--warmup", "0",
                  "--callers", "4", "--check-every", "1", "--timeout", "30", "--json")  # fmt: skip
        state = {"BUDDIES_STATE_DIR": str(tmp_path / "state"), "BUDDIES_CLIENT__TOKEN": token}
        alone = buddies("load", "--address", edge.address, *common, cwd=tmp_path, **state)
        beside = buddies(
            "load", "--address", bare.address, "--edge", edge.address, "--bundle", str(bundle_dir), "--peers",
            "--peer", "bare", "--rounds", "1", *common, cwd=tmp_path, **state,
        )  # fmt: skip
        state["BUDDIES_CLIENT__TOKEN"] = token[:-1]
        refused = buddies("load", "--address", edge.address, *common, cwd=tmp_path, **state)
    assert alone.returncode == beside.returncode == 0, alone.stderr + beside.stderr
    body = json.loads(alone.stdout)
    assert body["plan"]["tls"] is True
    assert body["service"]["failed"] == 0 < body["service"]["calls"]
    for case in json.loads(beside.stdout)["cases"]:
        assert [(row["peer"], row["tls"], row["failed"]) for row in case["rows"]] == [
            ("service", False, 0), ("edge", True, 0), ("bare", False, 0)
        ]  # fmt: skip
        assert case["rows"][1]["calls_per_s"] > 0
        assert case["rows"][1]["cpu_ms_per_call"] > 0  # of the edge, whose processes listen here
    assert refused.returncode == 1
    assert "a valid bearer token or client certificate is needed" in refused.stderr
    callers = {line["caller"] for line in edge.lines() if line["path"].endswith("/Recommend")}
    assert callers == {"partner"}
    assert all(token not in text for text in (alone.stdout, alone.stderr, beside.stdout, beside.stderr, edge.log))
