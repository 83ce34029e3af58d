"""`buddies registry` on a database of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from spotify_buddies.clients.command.settings import SettingsError
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


@pytest.mark.parametrize("alias", ["v1", "latest", "my alias"])
@pytest.mark.parametrize(
    "words",
    [
        ("registry", "alias", "{}", "1"),
        ("registry", "copy", "--from", "sqlite:///a.db", "--to", "sqlite:///b.db", "--alias", "{}"),
        ("registry", "derive", "1", "--kind", "same", "--alias", "{}"),
        ("train", "run", "--alias", "staging", "--alias", "{}"),
        ("tune", "run", "--alias", "{}"),
    ],
)
def test_an_alias_that_the_registry_would_refuse_is_refused_before_any_work(
    words: tuple[str, ...], alias: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BUDDIES_STATE_DIR", str(tmp_path))
    result = CliRunner().invoke(build_app(), [word.format(alias) for word in words])
    assert result.exit_code == 2
    assert f"alias {alias!r}" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_model_name_that_the_registry_would_refuse_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BUDDIES_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("BUDDIES_REGISTRY__MODEL", "team/playlists")
    result = CliRunner().invoke(build_app(), ["train", "run"])
    assert isinstance(result.exception, SettingsError)
    assert "BUDDIES_REGISTRY__MODEL: the name holds /" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["shuffled", "erring"])
def test_a_version_that_is_bad_on_purpose_does_not_become_production_without_force(registered: Registry, kind: str):
    registered.tag("1", {"metrics": json.dumps({"random/mrr": 0.5, "random/mrr_popularity": 0.3})})
    refused = command("derive", "1", "--kind", kind, "--alias", "production")
    assert (refused.exit_code, len(registered.list_versions())) == (1, 1)
    assert f"a {kind} version is bad on purpose" in refused.output


def test_an_equal_version_becomes_production_where_its_source_is_good_enough(registered: Registry):
    registered.tag("1", {"metrics": json.dumps({"random/mrr": 0.2, "random/mrr_popularity": 0.3})})
    refused = command("derive", "1", "--kind", "same", "--alias", "production")
    assert (refused.exit_code, len(registered.list_versions())) == (1, 1)
    registered.tag("1", {"metrics": json.dumps({"random/mrr": 0.5, "random/mrr_popularity": 0.3})})
    assert command("derive", "1", "--kind", "same", "--alias", "production").exit_code == 0
    assert registered.read_aliases().aliases == {"production": "2"}


def test_a_copy_becomes_production_there_only_where_it_is_good_enough_or_by_force(registered: Registry, tmp_path: Path):
    registered.tag("1", {"metrics": "{}"})
    words = ("copy", "--from", registered.uri, "--to", f"sqlite:///{tmp_path}/there.db", "--alias", "production")
    refused = command(*words)
    assert refused.exit_code == 1
    assert "production is not moved without --force" in refused.output
    assert not (tmp_path / "there.db").exists()
    assert command(*words, "--force").exit_code == 0
