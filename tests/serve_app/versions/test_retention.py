"""Bundles on a machine that nothing names any more: real bundles, locks of real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.serve_app.versions.fetch import Shelf
from spotify_buddies.serve_app.versions.retention import DAY_S, BundleRetention, in_use, prune
from spotify_buddies.trainer.bundle import open_bundle
from spotify_buddies.trainer.registry.registry import Registry
from tests.waiting import wait_until

LOCKS = """
import sys
from pathlib import Path
from spotify_buddies.serve_app.versions.fetch import Shelf
with Shelf("", "", Path(sys.argv[1])).locked("2"):
    print("locked", flush=True)
    sys.stdin.read()
"""
# Ends as if killed, at the first file that it would delete.
DIES = """
import os, shutil, sys
from pathlib import Path
from spotify_buddies.serve_app.versions.fetch import Shelf
from spotify_buddies.serve_app.versions.retention import prune
shutil.rmtree = lambda *_, **__: os._exit(9)
prune(Shelf("", "", Path(sys.argv[1])), (), 14)
"""


@pytest.fixture
def shelf(registry: Registry, versions: dict[str, Path], tmp_path: Path) -> Shelf:
    """Three versions that were downloaded 20 days ago, each with a note."""
    bundles = tmp_path / "bundles"
    for version, directory in versions.items():
        shutil.copytree(directory, bundles / version)
        (bundles / f".{version}.json").write_text("{}")
        age(bundles / version, 20)
        age(bundles / f".{version}.json", 20)
    return Shelf(registry.uri, registry.model, bundles)


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))


def names(shelf: Shelf) -> set[str]:
    return {path.name for path in shelf.bundles.iterdir() if path.suffix != ".lock"}


def test_old_versions_that_nothing_names_are_deleted_with_their_notes(shelf: Shelf) -> None:
    assert prune(shelf, {"1"}, 14) == ["2", "3"]
    assert names(shelf) == {"1", ".1.json"}
    assert prune(shelf, {"1"}, 14) == []


def test_the_version_that_new_replicas_start_with_stays(shelf: Shelf) -> None:
    assert BundleRetention(shelf, "1", 14)({"2"}) == ["3"]
    assert names(shelf) == {"1", ".1.json", "2", ".2.json"}


def test_zero_days_keep_everything_and_no_directory_is_no_error(shelf: Shelf, tmp_path: Path) -> None:
    before = names(shelf)
    assert prune(shelf, (), 0) == []
    assert names(shelf) == before
    assert prune(Shelf("", "", tmp_path / "none"), (), 14) == []


@pytest.mark.parametrize("name", ["2", ".2.json"])
def test_a_version_that_was_downloaded_or_asked_for_lately_stays(shelf: Shelf, name: str) -> None:
    age(shelf.bundles / name, 13)
    assert prune(shelf, (), 14) == ["1", "3"]
    assert names(shelf) == {"2", ".2.json"}


def test_a_version_that_was_just_fetched_from_a_registry_on_this_machine_stays(shelf: Shelf) -> None:
    directory = shelf.fetch("2")
    assert prune(shelf, (), 14) == ["1", "3"]
    assert prune(shelf, (), 14, now=time.time() + 15 * DAY_S) == ["2"]
    assert directory.is_dir(), "what the registry itself holds is not deleted"


def test_a_version_that_a_process_uses_stays_however_long_and_ages_from_then_on(shelf: Shelf) -> None:
    bundle = shelf.bundles / "2"
    with in_use(shelf.bundles, bundle, every_s=0.01):
        assert prune(shelf, (), 14) == ["1", "3"]
        age(bundle, 20)
        wait_until(lambda: bundle.stat().st_mtime > time.time() - DAY_S, "the next mark", 60)
        assert prune(shelf, (), 14) == []
    assert open_bundle(bundle)
    age(bundle, 20)
    assert prune(shelf, (), 14) == ["2"]


def test_a_bundle_in_use_outside_the_shelf_is_left_as_it_is(shelf: Shelf, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "2"
    shutil.copytree(shelf.bundles / "2", elsewhere)
    age(elsewhere, 20)
    before = elsewhere.stat().st_mtime
    with in_use(shelf.bundles, elsewhere):
        assert elsewhere.stat().st_mtime == before


def test_other_peoples_files_stay(shelf: Shelf, versions: dict[str, Path]) -> None:
    (shelf.bundles / "4").symlink_to(versions["1"])
    (shelf.bundles / "copy").mkdir()
    (shelf.bundles / ".4x.json").write_text("{}")
    for path in ("copy", ".4x.json"):
        age(shelf.bundles / path, 99)
    prune(shelf, (), 14)
    assert names(shelf) == {"4", "copy", ".4x.json"}
    assert open_bundle(versions["1"])


def test_a_version_that_another_process_fetches_is_passed_over(shelf: Shelf) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKS, str(shelf.bundles)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        assert prune(shelf, (), 14) == ["1", "3"]
        assert {"2", ".2.json"} <= names(shelf)
        process.communicate("")
    assert prune(shelf, (), 14) == ["2"]


def test_a_crash_in_the_middle_leaves_no_half_bundle_and_the_next_run_cleans_up(shelf: Shelf) -> None:
    died = subprocess.run([sys.executable, "-c", DIES, str(shelf.bundles)], check=False)
    assert died.returncode == 9
    assert names(shelf) == {".1.deleted", "2", ".2.json", "3", ".3.json"}
    assert open_bundle(shelf.bundles / ".1.deleted"), "nothing of it was deleted yet: what counts is its name"
    assert prune(shelf, {"2", "3"}, 14) == [], "version 1 was counted by the run that died, or not at all"
    assert names(shelf) == {"2", ".2.json", "3", ".3.json"}


def test_unfinished_downloads_and_notes_of_old_versions_are_deleted(shelf: Shelf) -> None:
    (shelf.bundles / ".7.partial").mkdir()
    (shelf.bundles / ".7.partial" / "owner.npy").write_bytes(b"1")
    (shelf.bundles / ".8.partial").mkdir()
    (shelf.bundles / ".9.json.partial").write_text("{")
    age(shelf.bundles / ".7.partial", 15)
    age(shelf.bundles / ".9.json.partial", 15)
    assert prune(shelf, {"1", "2", "3"}, 14) == ["7", "9"]
    assert ".8.partial" in names(shelf), "somebody may be downloading it"


def test_a_process_that_has_a_deleted_bundle_open_keeps_reading_it(shelf: Shelf) -> None:
    opened = open_bundle(shelf.bundles / "2")
    whole = np.array(opened.user_factors)
    assert prune(shelf, (), 14) == ["1", "2", "3"]
    np.testing.assert_array_equal(opened.user_factors, whole)


def test_a_download_that_was_not_finished_does_not_keep_the_note_from_being_written(shelf: Shelf) -> None:
    (shelf.bundles / ".2.partial").mkdir()
    directory = shelf.fetch("2")
    assert json.loads(shelf.note_path("2").read_text())["path"] == str(directory)
