"""Folders in an object store: a real S3 API, and a local folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from spotify_buddies.foundation.stages.progress import silent
from spotify_buddies.trainer.copies import pull as pulling
from spotify_buddies.trainer.copies import push as pushing
from spotify_buddies.trainer.copies.places import Place, PlaceError, open_place
from spotify_buddies.trainer.copies.pull import pull
from spotify_buddies.trainer.copies.push import Sent, object_path, push
from spotify_buddies.trainer.copies.snapshot import Snapshot, SnapshotError
from tests.object_store import object_store

FILES = {"2-songs/users.parquet": b"users", "6-split/split.npy": b"\0" * 70_000, "stage.json": b"{}", "again": b"users"}


@pytest.fixture(params=["s3", "folder"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield open_place(str(tmp_path / "store"))
        return
    with object_store(monkeypatch):
        yield open_place("s3://bucket/buddies")


def folder(path: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def content(path: Path) -> dict[str, bytes]:
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def test_what_was_pushed_is_pulled_on_another_machine_and_equal_bytes_are_sent_once(
    place: Place, tmp_path: Path
) -> None:
    here = folder(tmp_path / "dataset")
    folder(here, {".lock": b"", ".part.partial/x": b"x"})
    sent = push(here, "dataset", place, silent)
    assert (sent.files, sent.moved) == (4, 3), "two files hold the same"
    assert push(here, "dataset", place, silent) == Sent("dataset", sent.snapshot, 4, sent.bytes, 0, 0)
    brought = pull(place, "dataset", tmp_path / "there", silent)
    assert (brought.snapshot, brought.files, brought.bytes) == (sent.snapshot, 4, 70_012)
    assert content(tmp_path / "there") == FILES
    assert pull(place, "dataset", tmp_path / "there", silent).moved == 0


def test_an_earlier_snapshot_is_pulled_by_its_id_and_needs_leave_to_replace(place: Place, tmp_path: Path) -> None:
    here = folder(tmp_path / "dataset")
    first = push(here, "dataset", place, silent)
    folder(here, {"new": b"new"})
    second = push(here, "dataset", place, silent)
    assert (second.moved, second.moved_bytes) == (1, 3)
    with pytest.raises(SnapshotError, match=r"holds something else than dataset .*; move it, or add --replace"):
        pull(place, "dataset", here, silent, snapshot_id=first.snapshot)
    assert content(here) == {**FILES, "new": b"new"}
    back = pull(place, "dataset", here, silent, snapshot_id=first.snapshot, replace=True)
    assert back.moved == 0, "every file was here"
    assert content(here) == FILES


def test_a_push_that_was_killed_is_no_snapshot_and_goes_on(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = folder(tmp_path / "dataset")
    with monkeypatch.context() as patched:
        patched.setattr(pushing, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            push(here, "dataset", place, silent)
    with pytest.raises(SnapshotError, match="no dataset that was pushed there; push it with `buddies data push`"):
        pull(place, "dataset", tmp_path / "there", silent)
    assert push(here, "dataset", place, silent).moved == 0


def test_a_pull_that_was_killed_leaves_the_folder_as_it_was_and_goes_on(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(folder(tmp_path / "dataset"), "dataset", place, silent)
    there = folder(tmp_path / "there", {"old": b"old"})
    with monkeypatch.context() as patched:
        patched.setattr(pulling, "swap", killed)
        with pytest.raises(KeyboardInterrupt):
            pull(place, "dataset", there, silent, replace=True)
    assert content(there) == {"old": b"old"}
    assert pull(place, "dataset", there, silent, replace=True).moved == 0
    assert content(there) == FILES
    assert not list(tmp_path.glob(".*.pull"))


def test_an_object_that_does_not_hold_its_hash_is_refused_by_its_name(place: Place, tmp_path: Path) -> None:
    push(folder(tmp_path / "dataset"), "dataset", place, silent)
    sha256 = Snapshot.of(tmp_path / "dataset", "dataset").files["stage.json"].sha256
    with place.files.open_output_stream(object_path(place, sha256), compression=None) as file:
        file.write(b"[]")
    with pytest.raises(SnapshotError, match=f"{sha256} does not hold what was pushed as 'stage.json'"):
        pull(place, "dataset", tmp_path / "there", silent)
    assert not (tmp_path / "there").exists()


def test_a_file_that_changes_while_it_is_pushed_is_not_kept(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = folder(tmp_path / "dataset", {"a": b"one"})
    missing = pushing._missing

    def changed(*given: Any) -> Any:
        (here / "a").write_bytes(b"two")
        return missing(*given)

    monkeypatch.setattr(pushing, "_missing", changed)
    with pytest.raises(SnapshotError, match="a: changed while it was pushed"):
        push(here, "dataset", place, silent)
    files = place.files.get_file_info(fs.FileSelector(place.path, recursive=True))
    assert not [info for info in files if info.type == fs.FileType.File]


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ".ssh/x", ""])
def test_a_list_that_leads_out_of_the_folder_is_refused(path: str) -> None:
    text = json.dumps({"schema": 1, "name": "d", "files": {path: {"bytes": 1, "sha256": "0" * 64}}}).encode()
    with pytest.raises(SnapshotError, match="is no path below a folder"):
        Snapshot.read(text, "s3://bucket/d/1.json")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"schema": 1, "name": "d", "files": {"a": {"bytes": 1}}}'])
def test_a_list_that_is_none_is_refused_with_its_place(text: bytes) -> None:
    with pytest.raises(SnapshotError, match=r"s3://bucket/d/1\.json: "):
        Snapshot.read(text, "s3://bucket/d/1.json")


def test_nothing_to_push_and_a_login_in_the_address_are_said(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="nothing to push"):
        push(tmp_path / "none", "dataset", open_place(str(tmp_path)), silent)
    with pytest.raises(PlaceError, match="an address with a login in it") as caught:
        open_place("s3://key:hush@bucket/x")
    assert "hush" not in str(caught.value)


def test_a_store_that_fsspec_knows_is_used_too(tmp_path: Path) -> None:
    place = open_place("memory://copies/of")
    push(folder(tmp_path / "dataset"), "dataset", place, silent)
    pull(place, "dataset", tmp_path / "there", silent)
    assert content(tmp_path / "there") == FILES


def killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt
