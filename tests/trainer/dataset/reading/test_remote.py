"""Raw files at an address: the copy that is read."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from spotify_buddies.foundation.stages.progress import silent
from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading import remote
from spotify_buddies.trainer.dataset.reading.rows import table_rows
from spotify_buddies.trainer.dataset.reading.sources import find_sources
from spotify_buddies.trainer.dataset.reading.tables.parts import fingerprint
from tests.object_store import object_store


def parquet(*users: str) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(
        pa.table({"user_id": list(users), "title": ["t"] * len(users), "artist": ["A"] * len(users)}), buffer
    )
    return buffer.getvalue()


FILES = {
    "listens.parquet/bucket=1/part-0": parquet("b"),
    "listens.parquet/bucket=0/part-0": parquet("a"),
    "listens.parquet/_SUCCESS": b"",
    "playlists.csv": b"playlist_id,name,title,artist,owner_id\np,P,t,A,a\n",
    ".hidden/playlists.csv": b"x",
}


def store(folder: Path) -> Path:
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def copy(there: Path, to: Path) -> Path:
    return remote.copied(fs.LocalFileSystem(), str(there), "s3://bucket/raw", to, silent)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def users(folder: Path) -> list[str]:
    listens = find_sources(folder).listens
    assert listens is not None
    return [fields[0] for _, fields in table_rows(listens, ("user_id",), (), Skipped())]


def test_a_folder_is_copied_without_what_is_hidden_and_is_read_like_a_local_one(tmp_path):
    there = store(tmp_path / "there")
    here = copy(there, tmp_path / "here")
    assert names(here) == {name for name in FILES if "/_" not in name and not name.startswith(".")}
    assert users(here) == ["a", "b"]
    assert fingerprint(here / "listens.parquet") == fingerprint(there / "listens.parquet")


@pytest.mark.parametrize("name", ["listens.parquet", "playlists.csv"])
def test_a_table_keeps_its_name(tmp_path, name):
    there = store(tmp_path / "there")
    here = copy(there / name, tmp_path / "here")
    assert {path.split("/")[0] for path in names(here)} == {name}


def test_a_second_copy_reads_what_changed_and_removes_what_is_gone(tmp_path, monkeypatch):
    there, here = store(tmp_path / "there"), tmp_path / "here"
    copy(there, here)
    (there / "listens.parquet/bucket=0/part-0").write_bytes(parquet("c", "d"))
    shutil.rmtree(there / "listens.parquet/bucket=1")
    read: list[str] = []
    blocks = remote._blocks

    def noted(source: fs.FileSystem, path: str, address: str):
        read.append(path)
        return blocks(source, path, address)

    monkeypatch.setattr(remote, "_blocks", noted)
    copy(there, here)
    assert read == [str(there / "listens.parquet/bucket=0/part-0")]
    assert users(here) == ["c", "d"]


def test_nothing_at_the_address_is_refused_with_advice(tmp_path):
    with pytest.raises(DataError, match=r"s3://bucket/raw: nothing there; check the address, AWS_ACCESS_KEY_ID"):
        copy(tmp_path / "none", tmp_path / "here")


def test_a_copy_that_has_no_room_is_refused_before_it_begins(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"KiB to copy, and .* has 100 B free; make room there"):
        copy(store(tmp_path / "there"), tmp_path / "here")


def test_a_path_and_a_file_address_are_read_where_they_are(tmp_path):
    assert remote.local("some/folder", tmp_path, silent) == Path("some/folder")
    assert remote.local(f"file://{tmp_path}/x", tmp_path, silent) == tmp_path / "x"


def test_an_address_with_a_login_is_refused_and_the_login_is_not_shown(tmp_path):
    with pytest.raises(DataError, match="an address with a login in it") as caught:
        remote.local("s3://key:hush@bucket/raw", tmp_path, silent)
    assert "hush" not in str(caught.value)


def test_an_address_of_another_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"http://x/y: cannot be opened \(Unrecognized filesystem"):
        remote.local("http://x/y", tmp_path, silent)


@pytest.fixture
def bucket(monkeypatch):
    with object_store(monkeypatch) as put:
        for name, content in FILES.items():
            put(f"raw/{name}", content)
        yield


@pytest.mark.usefixtures("bucket")
def test_a_bucket_is_read_with_login_and_endpoint_of_the_environment(tmp_path):
    folder = remote.local("s3://bucket/raw/", tmp_path, silent)
    assert users(folder) == ["a", "b"]
    assert remote.local("s3://bucket/raw", tmp_path, silent) == folder
    with pytest.raises(DataError, match="s3://bucket/other: nothing there"):
        remote.local("s3://bucket/other", tmp_path, silent)
