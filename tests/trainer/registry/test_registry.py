"""Registered versions: on a SQLite database, and on a real MLflow server that hands out the artifacts."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.trainer.bundle import BundleError, open_bundle, write_bundle
from spotify_buddies.trainer.publish.tracking import track
from spotify_buddies.trainer.registry.mlflow_client import artifact_location, connect, default_uri
from spotify_buddies.trainer.registry.registry import Registry, RegistryAliases, RegistryError, RegistryUnavailable
from tests.mlflow_server import mlflow_server
from tests.trainer.registry.conftest import MODEL


@pytest.fixture
def uri(mlflow_state):
    return default_uri(mlflow_state)


@pytest.fixture
def second(bundle_parts, tmp_path):
    return write_bundle(tmp_path / "second", replace(bundle_parts, popular_scores=np.array([9, 9], np.float32)))


def run_id(uri, tmp_path) -> str:
    with track(uri, "buddies", name="r", parameters={}, tags={}, artifacts=artifact_location(uri, tmp_path)) as run:
        return run.run_id


def test_a_registered_bundle_is_found_by_alias_with_what_it_says_of_itself(registry, uri, bundle, tmp_path):
    run = run_id(uri, tmp_path)
    number = registry.register(bundle.directory, run)
    version = registry.resolve("production")
    assert (version.number, version.aliases, version.run_id) == (number, ("production",), run)
    assert version.dataset_fingerprint == "f" * 64
    assert version.bundle_sha256 == bundle.sha256
    assert version.metrics == {"random/mrr": 0.5}
    assert abs(datetime.now(UTC) - version.created) < timedelta(minutes=5)
    assert registry.get(number) == version


def test_versions_are_listed_newest_first_with_their_aliases(registry, uri, bundle, second, tmp_path):
    assert registry.list_versions() == []
    first_number = registry.register(bundle.directory, run_id(uri, tmp_path), aliases=("production", "previous"))
    second_number = registry.register(second.directory, run_id(uri, tmp_path), aliases=("production",))
    assert [(v.number, v.aliases) for v in registry.list_versions()] == [
        (second_number, ("production",)),
        (first_number, ("previous",)),
    ]


def test_many_versions_are_listed_whole(registry, uri, bundle, tmp_path):
    number = registry.register(bundle.directory, run_id(uri, tmp_path))
    client = connect(uri)
    for _ in range(205):
        client.create_model_version(MODEL, "file:///nowhere")
    assert [v.number for v in registry.list_versions()] == [str(n) for n in range(206, 0, -1)]
    assert registry.resolve("production").number == number


def test_a_bundle_is_registered_once(registry, uri, bundle, tmp_path):
    run = run_id(uri, tmp_path)
    number = registry.register(bundle.directory, run)
    assert registry.register(bundle.directory, run_id(uri, tmp_path), aliases=("canary",)) == number
    assert registry.list_versions()[0].aliases == ("canary", "production")


def test_two_bundles_of_one_run_do_not_overwrite_each_other(registry, uri, bundle, second, tmp_path):
    run = run_id(uri, tmp_path)
    first_number = registry.register(bundle.directory, run)
    second_number = registry.register(second.directory, run)
    paths = [registry.fetch(number, tmp_path / "cache") for number in (first_number, second_number)]
    assert [open_bundle(path).sha256 for path in paths] == [bundle.sha256, second.sha256]


def test_a_broken_bundle_is_not_registered(registry, uri, bundle, tmp_path):
    (bundle.directory / "owner.npy").write_bytes(b"")
    with pytest.raises(BundleError, match=r"owner\.npy"):
        registry.register(bundle.directory, run_id(uri, tmp_path))
    assert registry.list_versions() == []


def test_an_alias_can_be_moved(registry, uri, bundle, second, tmp_path):
    first_number = registry.register(bundle.directory, run_id(uri, tmp_path))
    registry.register(second.directory, run_id(uri, tmp_path))
    registry.set_alias("production", first_number)
    assert registry.resolve("production").bundle_sha256 == bundle.sha256


def test_a_missing_alias_names_model_alias_and_command(registry, uri, bundle, tmp_path):
    for _ in range(2):  # without the model, and with it
        with pytest.raises(RegistryError, match=f"model '{MODEL}' has no version with alias 'canary'.*buddies "):
            registry.resolve("canary")
        registry.register(bundle.directory, run_id(uri, tmp_path))


def test_a_missing_version_and_a_bad_alias_are_named(registry, uri, bundle, tmp_path):
    number = registry.register(bundle.directory, run_id(uri, tmp_path))
    for call in (lambda: registry.set_alias("canary", "99"), lambda: registry.fetch("99", tmp_path)):
        with pytest.raises(RegistryError, match="no version '99'"):
            call()
    with pytest.raises(RegistryError, match="alias 'not valid/'"):
        registry.set_alias("not valid/", number)


def test_all_aliases_and_tags_are_read_at_once_and_can_be_taken_off(registry, uri, bundle, tmp_path):
    assert registry.read_aliases() == RegistryAliases()
    registry.delete_alias("canary")  # nothing happens without the model, nor without the alias
    number = registry.register(bundle.directory, run_id(uri, tmp_path), aliases=("production", "canary"))
    registry.tag_model("canary_percent", "10")
    assert registry.read_aliases() == RegistryAliases(
        {"production": number, "canary": number}, {"canary_percent": "10"}
    )
    for _ in range(2):
        registry.delete_alias("canary")
        registry.tag_model("canary_percent", None)
    assert registry.read_aliases() == RegistryAliases({"production": number})


def test_a_local_bundle_is_used_where_it_lies(registry, uri, bundle, tmp_path):
    number = registry.register(bundle.directory, run_id(uri, tmp_path))
    path = registry.fetch(number, tmp_path / "cache")
    assert (tmp_path / "mlflow" / "artifacts") in path.parents
    assert not (tmp_path / "cache").exists()


def test_a_changed_artifact_is_refused(registry, uri, bundle, second, tmp_path):
    number = registry.register(bundle.directory, run_id(uri, tmp_path))
    stored = registry.fetch(number, tmp_path / "cache")
    (stored / "owner.npy").write_bytes((stored / "owner.npy").read_bytes()[:-1] + b"\x07")
    with pytest.raises(BundleError, match=r"owner\.npy"):
        registry.fetch(number, tmp_path / "cache")
    for path in second.directory.iterdir():  # a whole bundle, but another one
        if path.is_file():
            (stored / path.name).write_bytes(path.read_bytes())
    with pytest.raises(BundleError, match=f"{bundle.sha256[:12]} was registered"):
        registry.fetch(number, tmp_path / "cache")


def test_a_closed_port_is_unavailable_after_few_retries(closed_port):
    with pytest.raises(RegistryUnavailable, match=r"does not answer.*MLFLOW_TRACKING_URI"):
        Registry(f"http://127.0.0.1:{closed_port}", MODEL).resolve("production")


def test_a_server_that_never_answers_is_unavailable_within_the_time_set(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(RegistryUnavailable):
        Registry(f"http://127.0.0.1:{mute.getsockname()[1]}", MODEL).list_versions()


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(RegistryUnavailable):
        Registry(f"sqlite:///{tmp_path}/file/mlflow.db", MODEL).resolve("production")


def test_registry_errors_survive_pickling():
    error = pickle.loads(pickle.dumps(RegistryUnavailable("down")))
    assert isinstance(error, RegistryError)
    assert str(error) == "down"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """An MLflow server with its own database and artifact store."""
    with mlflow_server(tmp_path_factory.mktemp("server")) as address:
        yield address


def test_a_bundle_travels_through_a_server(server, bundle, tmp_path):
    registry = Registry(server, MODEL)
    number = registry.register(bundle.directory, run_id(server, tmp_path))
    registry.tag_model("canary_percent", "5")
    assert registry.read_aliases() == RegistryAliases({"production": number}, {"canary_percent": "5"})
    registry.tag_model("canary_percent", None)
    assert registry.read_aliases() == RegistryAliases({"production": number})
    assert registry.resolve("production").number == number
    cache = tmp_path / "cache"
    path = registry.fetch(number, cache)
    assert path == cache / number
    assert open_bundle(path).sha256 == bundle.sha256
    assert [p.name for p in cache.iterdir()] == [number]

    untouched = (path / "manifest.json").stat().st_mtime_ns
    assert registry.fetch(number, cache) == path  # what is there is used again
    assert (path / "manifest.json").stat().st_mtime_ns == untouched

    (path / "owner.npy").write_bytes(b"broken")  # and fetched again when it is broken
    (cache / f".{number}.partial").mkdir()
    (cache / f".{number}.partial" / "half").write_text("left by a crash")
    assert open_bundle(registry.fetch(number, cache)).sha256 == bundle.sha256


def test_the_registry_needs_no_torch(server, tmp_path):
    code = (
        "import sys; from spotify_buddies.trainer.registry.registry import Registry\n"
        f"Registry({server!r}, 'none').list_versions()\n"
        "print(sorted({'torch', 'sqlalchemy', 'sklearn', 'spotify_buddies.trainer.settings'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "[]"


def test_an_error_does_not_show_the_login_of_the_registrys_address() -> None:
    registry = Registry("http://me:s3cret@127.0.0.1:1", "m")
    with pytest.raises(RegistryUnavailable, match=r"registry at http://127\.0\.0\.1:1 does not answer") as caught:
        registry.resolve("production")
    assert "s3cret" not in str(caught.value)
