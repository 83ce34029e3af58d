"""Copies between two real registries."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.trainer.bundle import Bundle, BundleError, open_bundle
from spotify_buddies.trainer.registry.mlflow_client import artifact_location, connect, default_uri
from spotify_buddies.trainer.registry.registry import Registry, RegistryError
from spotify_buddies.trainer.registry.transfer import copy_version
from tests.mlflow_server import mlflow_server
from tests.trainer.registry.conftest import MODEL


@pytest.fixture
def source(mlflow_state: Path) -> Registry:
    return Registry(default_uri(mlflow_state), MODEL)


@pytest.fixture
def target(empty_database: Path, tmp_path: Path) -> Registry:
    home = tmp_path / "production" / "mlflow"
    home.mkdir(parents=True)
    shutil.copy(empty_database, home / "mlflow.db")
    return Registry(default_uri(tmp_path / "production"), MODEL)


@pytest.fixture
def run(source: Registry, bundle: Bundle, tmp_path: Path) -> str:
    """The run of version 1 of the source."""
    client = connect(source.uri)
    experiment = client.create_experiment("buddies", artifact_location(source.uri, tmp_path))
    run_id = str(client.create_run(experiment).info.run_id)
    source.register(bundle.directory, run_id)
    return run_id


def test_a_copy_is_the_same_bundle_and_says_where_it_came_from(
    source: Registry, target: Registry, bundle: Bundle, run: str, tmp_path: Path
) -> None:
    copied = copy_version(source, target, "1", "buddies", aliases=("staging", "canary"))
    assert (copied.version, copied.bundle_sha256, copied.new) == ("1", bundle.sha256, True)
    copy, original = target.get("1"), source.get("1")
    assert copy.aliases == ("canary", "staging")
    assert (copy.bundle_sha256, copy.dataset_fingerprint) == (bundle.sha256, "f" * 64)
    assert copy.metrics == original.metrics
    kept = target.fetch("1", tmp_path / "cache")
    assert (tmp_path / "production" / "mlflow" / "artifacts") in kept.parents
    assert open_bundle(kept).sha256 == bundle.sha256
    tags = connect(target.uri).get_model_version(MODEL, "1").tags
    assert tags["copied_from_registry"] == source.uri
    assert (tags["copied_from_version"], tags["copied_from_run"]) == ("1", run)


def test_where_a_copy_came_from_is_told_without_the_login(
    source: Registry, target: Registry, run: str, mlflow_state: Path
) -> None:
    with mlflow_server(mlflow_state) as address:
        place = address.removeprefix("http://")
        behind = Registry(f"http://bob:Sum%40mer%202026@{place}", MODEL)
        copy_version(behind, target, "1", "buddies")
    client = connect(target.uri)
    tags = client.get_model_version(MODEL, "1").tags
    run_tags = client.get_run(client.get_model_version(MODEL, "1").run_id).data.tags
    assert tags["copied_from_registry"] == run_tags["copied_from_registry"] == address
    assert not [part for part in ("Sum", "mer%", "2026") if part in f"{tags} {run_tags}"]


def test_an_address_that_could_be_read_in_two_ways_is_no_registry(target: Registry) -> None:
    with pytest.raises(RegistryError, match="does not end the login") as caught:
        copy_version(Registry("http://bob:Summer@2026@h", MODEL), target, "1", "buddies")
    assert not [part for part in ("Sum", "202") if part in str(caught.value)]


def test_a_copy_can_be_repeated(source: Registry, target: Registry, run: str) -> None:
    copy_version(source, target, "1", "buddies")
    again = copy_version(source, target, "1", "buddies", aliases=("canary",))
    assert (again.version, again.new) == ("1", False)
    assert [(one.number, one.aliases) for one in target.list_versions()] == [("1", ("canary",))]
    client = connect(target.uri)
    assert len(client.search_runs([client.get_experiment_by_name("buddies").experiment_id])) == 1


def test_a_changed_bundle_is_not_copied(source: Registry, target: Registry, run: str, tmp_path: Path) -> None:
    stored = source.fetch("1", tmp_path / "cache")
    (stored / "owner.npy").write_bytes(b"broken")
    with pytest.raises(BundleError, match=r"owner\.npy"):
        copy_version(source, target, "1", "buddies", aliases=("canary",))
    assert target.list_versions() == []


def test_a_target_that_gives_back_something_else_gets_no_alias(
    source: Registry, target: Registry, run: str, tmp_path: Path
) -> None:
    copy_version(source, target, "1", "buddies")
    stored = target.fetch("1", tmp_path / "cache")
    (stored / "owner.npy").write_bytes(b"broken")
    with pytest.raises(BundleError, match=r"owner\.npy"):
        copy_version(source, target, "1", "buddies", aliases=("canary",))
    assert target.read_aliases().aliases == {}


def test_a_version_without_a_hash_and_one_that_is_not_there_are_errors(
    source: Registry, target: Registry, run: str
) -> None:
    connect(source.uri).create_model_version(MODEL, "file:///nowhere")
    with pytest.raises(RegistryError, match="without a hash"):
        copy_version(source, target, "2", "buddies")
    with pytest.raises(RegistryError, match="no version '9'"):
        copy_version(source, target, "9", "buddies")


def test_the_command_copies_what_production_names(
    source: Registry, target: Registry, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> Any:
        return CliRunner().invoke(build_app(), ["registry", "copy", "--from", source.uri, "--to", target.uri, *words])

    first = command("--alias", "canary")
    assert (first.exit_code, first.output) == (0, "version 1 is version 1 there (copied), canary -> 1\n")
    assert command().output == "version 1 is version 1 there (there already)\n"
    missing = command("--version", "7")
    assert (missing.exit_code, "no version '7'" in missing.output) == (1, True)
