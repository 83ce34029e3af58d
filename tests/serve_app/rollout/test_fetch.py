"""Versions fetched from a real registry, by a process of its own, once a machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serve_app.rollout import fetch
from serve_app.rollout.fetch import Shelf
from trainer.bundle import BundleError, open_bundle
from trainer.registry import Registry, RegistryError, RegistryUnavailable


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
        found = list(pool.map(shelf.fetch, ["2", "2", "2"]))
    assert len(set(found)) == 1
    assert open_bundle(found[0]).sha256 == open_bundle(versions["2"]).sha256
    assert len(asked) == 1, "the others go by the note of the first"


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
    assert seen == [[sys.executable, "-m", "serve_app.rollout.fetch"]]
    assert "s3cret" not in f"{shelf!r} {raised.value} {seen}"


def test_a_version_that_is_not_there_is_named(shelf: Shelf) -> None:
    with pytest.raises(RegistryError, match="no version '99'"):
        shelf.fetch("99")


def test_a_bundle_that_was_checked_before_serves_while_the_registry_is_away(shelf: Shelf) -> None:
    found = shelf.fetch("2")
    gone = Shelf("http://127.0.0.1:9", shelf.model, shelf.bundles)
    with pytest.raises(RegistryUnavailable):
        gone.fetch("2")  # another registry's version 2 is another bundle
    note = shelf.bundles / ".2.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "from": gone._from}))
    age(shelf, "2", 1e6)
    assert gone.fetch("2") == found
    copy = Path(shutil.copytree(found, shelf.bundles / "copy"))
    note.write_text(json.dumps({**json.loads(note.read_text()), "path": str(copy)}))
    assert gone.fetch("2") == copy
    (copy / "owner.npy").write_bytes(b"other")
    with pytest.raises(RegistryUnavailable):
        gone.fetch("2")


def test_a_bundle_that_changed_in_the_registry_is_refused(
    registry: Registry, versions: dict[str, Path], tmp_path: Path
) -> None:
    shelf = Shelf(registry.uri, registry.model, tmp_path / "bundles")
    found = shelf.fetch("3")
    whole = (found / "owner.npy").read_bytes()
    (found / "owner.npy").write_bytes(whole[:-1] + b"\x01")
    try:
        with pytest.raises(BundleError, match=r"owner\.npy"):
            shelf.fetch("3")
    finally:
        (found / "owner.npy").write_bytes(whole)
