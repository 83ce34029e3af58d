"""`buddies registry` on a database of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from spotify_buddies.clients.main import build_app
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.publish.tracking import artifact_location, default_uri, track
from spotify_buddies.trainer.registry.registry import Registry


@pytest.fixture
def registered(bundle: Bundle, mlflow_state: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry with one version, behind `production`."""
    uri = default_uri(mlflow_state)
    artifacts = artifact_location(uri, mlflow_state)
    with track(uri, "buddies", name="r", parameters={}, tags={}, artifacts=artifacts) as run:
        registry = Registry(uri, "organic-playlists")
        registry.register(bundle.directory, run.run_id)
    monkeypatch.setenv("BUDDIES_STATE_DIR", str(mlflow_state))
    return registry


def command(*words: str) -> Result:
    return CliRunner().invoke(build_app(), ["registry", *words])


def test_alias_prints_json_for_scripts(registered: Registry):
    result = command("alias", "staging", "1", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"alias": "staging", "version": "1"}
    assert registered.read_aliases().aliases == {"production": "1", "staging": "1"}
    assert command("alias", "canary", "1").stdout == "canary -> 1\n"


def test_production_is_moved_to_a_version_without_an_mrr_or_below_a_baseline_only_by_force(registered: Registry):
    registered.delete_alias("production")
    for metrics, said in (
        ({}, "version 1 has no offline MRR, so nothing says how well it ranks"),
        ({"random/mrr": 0.2, "random/mrr_popularity": 0.3}, "random/mrr of version 1 is 0.2, below the 0.3"),
    ):
        registered.tag("1", {"metrics": json.dumps(metrics)})
        refused = command("alias", "production", "1")
        assert (refused.exit_code, registered.read_aliases().aliases) == (1, {})
        assert said in refused.output
        assert "production is not moved without --force" in refused.output
    assert command("alias", "staging", "1").stdout == "staging -> 1\n"
    assert command("alias", "production", "1", "--force").stdout == "production -> 1\n"
    assert command("alias", "production", "7").exit_code == 1


def test_production_is_moved_to_a_version_above_the_baselines(registered: Registry):
    registered.delete_alias("production")
    registered.tag("1", {"metrics": json.dumps({"random/mrr": 0.5, "random/mrr_popularity": 0.3})})
    assert command("alias", "production", "1").stdout == "production -> 1\n"


def test_versions_are_listed_under_headers(registered: Registry, bundle: Bundle):
    registered.set_alias("staging", "1")
    header, line = command("list").stdout.splitlines()
    served = ["served hit@5", "served ndcg@10", "served coverage", "served gini"]
    assert re.split("  +", header) == ["version", "aliases", "created", "bundle", *served]
    assert line.split()[:3] == ["1", "production,", "staging"]
    assert f" UTC  {bundle.sha256[:12]}  " in line
    assert line.split()[-4:] == ["-"] * 4, "it does not say what it serves"


def test_an_empty_registry_says_how_a_version_comes_into_it(mlflow_state: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BUDDIES_STATE_DIR", str(mlflow_state))
    assert command("list").stdout == "no version yet; `buddies train run` registers one\n"
    assert command("list", "--json").stdout == "[]\n"
