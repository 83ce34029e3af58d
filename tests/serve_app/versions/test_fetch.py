"""Versions fetched from a real registry, in a separate process, once per machine."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.ports import free_port
from spotify_buddies.serve_app.embedded.supervisor import Supervisor
from spotify_buddies.serve_app.embedded.tracking import mlflow, wait_for_mlflow
from spotify_buddies.serve_app.versions import fetch
from spotify_buddies.serve_app.versions.fetch import Shelf
from spotify_buddies.trainer.bundle import Bundle, BundleError, open_bundle
from spotify_buddies.trainer.registry.registry import Registry, RegistryError, RegistryUnavailable
from tests.mlflow_server import mlflow_server


@pytest.fixture
def shelf(registry: Registry, tmp_path: Path) -> Shelf:
    return Shelf(registry.uri, registry.model, tmp_path / "bundles")


def age(shelf: Shelf, version: str, seconds: float) -> None:
    note = shelf.bundles / f".{version}.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "at": time.time() - seconds}))


def test_a_version_is_fetched_with_its_hashes_checked_by_several_at_once(
    shelf: Shelf, versions: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    run = subprocess.run

    def counted(*given: object, **named: object) -> object:
        asked.append(given)
        return run(*given, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(fetch.subprocess, "run", counted)
    with ThreadPoolExecutor(3) as pool:
        directories = list(pool.map(shelf.fetch, ["2", "2", "2"]))
    assert len(set(directories)) == 1
    assert open_bundle(directories[0]).sha256 == open_bundle(versions["2"]).sha256
    assert len(asked) == 1, "the others go by the note of the first"


def test_files_that_are_the_same_are_hashed_once_and_others_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Path] = []

    def counted(opened: Path, *, check_hashes: bool = True) -> Bundle:
        if check_hashes:
            checked.append(opened)
        return open_bundle(opened, check_hashes=check_hashes)

    monkeypatch.setattr(fetch, "open_bundle", counted)
    directory = shelf.fetch("2")
    assert [shelf.fetch("2") for _ in range(3)] == [directory] * 3
    assert checked == [directory]
    file = directory / "owner.npy"
    whole = file.read_bytes()
    before = file.stat()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    try:
        with pytest.raises(BundleError, match=r"owner\.npy"):
            shelf.fetch("2")
    finally:
        file.write_bytes(whole)
    assert len(checked) == 2
    assert shelf.fetch("2") == directory
    note = shelf.bundles / ".2.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "hashed": time.time() - fetch.HASHED_S - 1}))
    count = len(checked)
    assert [shelf.fetch("2") for _ in range(2)] == [directory] * 2
    assert len(checked) == count + 1, "what was hashed long ago is hashed once more"


def test_a_server_is_asked_again_without_its_client(
    registry: Registry, versions: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mlflow_server(Path(registry.uri.removeprefix("sqlite:///")).parents[1]) as address:
        shelf = Shelf(address, registry.model, tmp_path)
        note = tmp_path / ".2.json"
        directory = shelf.fetch("2")
        age(shelf, "2", fetch.FRESH_S + 1)
        with monkeypatch.context() as patched:
            patched.setattr(fetch.subprocess, "run", None)
            assert shelf.fetch("2") == directory
        assert time.time() - json.loads(note.read_text())["at"] < fetch.FRESH_S
        note.write_text(json.dumps({**json.loads(note.read_text()), "sha256": "0" * 64, "stamp": ""}))
        age(shelf, "2", fetch.FRESH_S + 1)
        assert shelf.fetch("2") == directory, "a note that says something else is not believed"
        assert json.loads(note.read_text())["sha256"] == open_bundle(versions["2"]).sha256
    age(shelf, "2", fetch.FRESH_S + 1)
    assert shelf.fetch("2") == directory, "what was checked serves while the server is away"


def test_a_server_behind_a_login_is_asked_again_with_it_and_without_its_client(
    registry: Registry, versions: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_dir = Path(registry.uri.removeprefix("sqlite:///")).parents[1]
    with mlflow(state_dir, free_port(), Supervisor((LaunchError,))) as (address, process):
        wait_for_mlflow(address, process, state_dir)
        shelf = Shelf(address, registry.model, tmp_path)
        directory = shelf.fetch("2")
        age(shelf, "2", fetch.FRESH_S + 1)
        monkeypatch.setattr(fetch.subprocess, "run", None)
        assert shelf.fetch("2") == directory
        age(shelf, "2", fetch.FRESH_S + 1)
        with pytest.raises(TypeError):  # the client would be started
            Shelf(address.replace("buddies:", "buddies:x"), registry.model, tmp_path).fetch("2")


@pytest.mark.parametrize("uri", ["sqlite:////x.db", "/srv/mlflow", "https://tracking.example?team=1"])
def test_what_is_no_servers_address_alone_is_left_to_the_client(uri: str) -> None:
    with pytest.raises(ValueError, match="not a server's address alone"):
        fetch._plain_request(uri, "/x")


def test_a_login_is_sent_as_it_is_meant_and_not_to_where_a_server_sends_the_request() -> None:
    request = fetch._plain_request("https://a:b%40c@tracking.example/base/", "/x?y=1")
    assert request.full_url == "https://tracking.example/base/x?y=1"
    assert request.unredirected_hdrs == {"Authorization": f"Basic {base64.b64encode(b'a:b@c').decode()}"}
    assert fetch._plain_request("http://tracking.example", "/x").header_items() == []


def test_one_loads_at_a_time_and_nobody_waits_for_ever(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.fetch("2")
    first_is_in, let_go, second_is_in = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with shelf.in_turn("2"):
            first_is_in.set()
            assert let_go.wait(60)

    def second() -> bool:
        assert first_is_in.wait(60)
        with shelf.in_turn("2"):
            second_is_in.set()
            return let_go.is_set()

    with ThreadPoolExecutor(2) as pool:
        holding, waiting = pool.submit(first), pool.submit(second)
        assert first_is_in.wait(60)
        assert not second_is_in.wait(0.3)
        let_go.set()
        holding.result()
        assert waiting.result()
    monkeypatch.setattr(fetch, "TURN_S", 0.0)
    with shelf.in_turn("2") as there, shelf.in_turn("2") as beside:
        assert there == beside


def test_the_address_stands_neither_in_the_arguments_nor_in_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    run = subprocess.run

    def watched(command: list[str], **named: object) -> object:
        seen.append(command)
        return run(command, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(fetch.subprocess, "run", watched)
    shelf = Shelf("http://ann:s3cret@127.0.0.1:9", "m", tmp_path)
    with pytest.raises(RegistryUnavailable) as raised:
        shelf.fetch("1")
    assert seen == [[sys.executable, "-m", "spotify_buddies.serve_app.versions.fetch"]]
    assert "s3cret" not in f"{shelf!r} {raised.value} {seen}"


def test_a_version_that_is_not_there_is_named(shelf: Shelf) -> None:
    with pytest.raises(RegistryError, match="no version '99'"):
        shelf.fetch("99")


def test_a_bundle_that_was_checked_before_serves_while_the_registry_is_away(shelf: Shelf) -> None:
    directory = shelf.fetch("2")
    gone = Shelf("http://127.0.0.1:9", shelf.model, shelf.bundles)
    with pytest.raises(RegistryUnavailable):
        gone.fetch("2")  # another registry's version 2 is another bundle
    note = shelf.bundles / ".2.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "from": gone._from}))
    age(shelf, "2", 1e6)
    assert gone.fetch("2") == directory
    copy = Path(shutil.copytree(directory, shelf.bundles / "copy"))
    note.write_text(json.dumps({**json.loads(note.read_text()), "path": str(copy)}))
    assert gone.fetch("2") == copy
    (copy / "owner.npy").write_bytes(b"other")
    with pytest.raises(RegistryUnavailable):
        gone.fetch("2")


def test_a_bundle_that_changed_in_the_registry_is_refused(
    registry: Registry, versions: dict[str, Path], tmp_path: Path
) -> None:
    shelf = Shelf(registry.uri, registry.model, tmp_path / "bundles")
    directory = shelf.fetch("3")
    whole = (directory / "owner.npy").read_bytes()
    (directory / "owner.npy").write_bytes(whole[:-1] + b"\x01")
    try:
        with pytest.raises(BundleError, match=r"owner\.npy"):
            shelf.fetch("3")
    finally:
        (directory / "owner.npy").write_bytes(whole)
