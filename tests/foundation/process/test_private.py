"""Directories and files that are this user's alone, with another user who tries."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from spotify_buddies.foundation.process.private import (
    NotPrivate,
    let_through,
    make_private,
    open_to_others,
    repair,
    replaceable_by_others,
    secret,
)
from spotify_buddies.foundation.process.run_dir import OWNER, RunDir, make, run_dir, sweep
from tests.strangers import NOBODY, as_stranger, reached


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def openly(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o666)
    path.parent.chmod(0o777)
    return path


def test_a_directory_that_was_open_is_closed_and_one_that_is_missing_is_made_closed(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new" / "state"
    old.mkdir()
    old.chmod(0o777)
    assert open_to_others(old)
    for directory in (old, new):
        make_private(directory)
        assert mode(directory) == 0o700
        assert not open_to_others(directory)
    assert not open_to_others(tmp_path / "missing")


def test_repair_closes_what_is_below_and_leaves_links_alone(tmp_path: Path) -> None:
    outside = openly(tmp_path / "outside" / "file")
    inside = openly(tmp_path / "state" / "logs" / "worker.log")
    (tmp_path / "state" / "logs" / "link").symlink_to(outside)
    assert repair([tmp_path / "state", tmp_path / "missing"]) == 3
    assert (mode(inside), mode(inside.parent), mode(outside)) == (0o600, 0o700, 0o666)
    assert repair([tmp_path / "state", inside]) == 0


def test_who_has_our_group_is_let_through_and_reads_nothing_on_the_way(tmp_path: Path) -> None:
    home, state = tmp_path / "home", tmp_path / "home" / "state"
    data = state / "data"
    data.mkdir(parents=True)
    (state / "secret").write_text("x")
    for directory in (home, state):
        directory.chmod(0o700)
    let_through(data)
    assert (mode(home), mode(state)) == (0o710, 0o710)
    make_private(state)  # as the next start does
    repair([state / "data", state / "secret"])
    if os.geteuid() != 0:
        assert mode(state) == 0o700  # others may be of the same group
        return
    assert not open_to_others(state)
    data.chmod(0o755)
    names = [str(path) for path in (data, state, state / "secret")]
    assert as_stranger(lambda: [name for name in names if listed(name)], group=os.getegid()) == [str(data)]
    assert as_stranger(lambda: [name for name in names if listed(name)]) == []


def listed(path: str) -> bool:
    try:
        os.listdir(path) if Path(path).is_dir() else Path(path).read_bytes()  # noqa: PTH208
    except OSError:
        return False
    return True


def test_a_group_that_has_rights_keeps_its_directory(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory to another group")
    shared, data = tmp_path / "shared", tmp_path / "shared" / "data"
    data.mkdir(parents=True)
    os.chown(shared, -1, NOBODY)
    shared.chmod(0o750)
    let_through(data)
    assert mode(shared) == 0o751


def test_a_secret_is_made_once_and_anew_where_others_may_have_read_it_or_it_is_empty(tmp_path: Path) -> None:
    path = secret(tmp_path / "token")
    first = path.read_text()
    assert len(bytes.fromhex(first)) == 32
    assert secret(path).read_text() == first
    assert mode(path) == 0o600
    path.chmod(0o644)
    second = secret(path).read_text()
    assert second != first
    path.write_text("")
    assert secret(path).read_text() not in ("", first, second)
    assert (mode(path), [path.name for path in tmp_path.iterdir()]) == (0o600, ["token"])


def test_a_strangers_directory_or_secret_is_refused_also_by_root(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a directory another user's")
    state = tmp_path / "state"
    state.mkdir()
    (state / "token").write_text("known to the stranger")
    os.chown(state / "token", NOBODY, NOBODY)
    with pytest.raises(NotPrivate, match="token is not a file of this user;"):
        secret(state / "token")
    os.chown(state, NOBODY, NOBODY)
    with pytest.raises(NotPrivate, match="belongs to another user"):
        make_private(state)


@pytest.mark.parametrize("directory", [Path("/"), Path.home()])
def test_what_is_not_only_ours_is_not_closed(directory: Path) -> None:
    before = mode(directory)
    with pytest.raises(NotPrivate, match="set BUDDIES_STATE_DIR"):
        make_private(directory)
    assert mode(directory) == before


def test_a_place_where_others_can_replace_what_is_in_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    assert replaceable_by_others(shared / "state") is None
    shared.chmod(0o777)
    assert replaceable_by_others(shared / "state") == shared
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    run = make("b-", longest=200)
    shutil.rmtree(run.path)
    assert run.path.parent == Path("/tmp")
    shared.chmod(0o1777)  # as /tmp itself
    assert replaceable_by_others(shared / "state") is None


def test_what_a_program_opens_up_inside_a_runs_directory_stays_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_dir("b-") as run:
        openly(run.public / "session" / "logs" / "worker.log").parent.parent.chmod(0o777)
        run.public.chmod(0o777)  # as Ray does
        (run.path / "haproxy").write_text("#!/bin/sh\n")
        (run.path / "haproxy").chmod(0o700)
        assert mode(run.path) == 0o700
        assert reached([run.path], [os.getpid()]) == []
    assert not run.path.exists()


def test_a_runs_directory_has_a_path_that_is_short_enough_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 10)))
    run = make("b-")
    try:
        assert len(str(run.path)) <= 25
    finally:
        (run.path / OWNER).unlink()
        run.public.rmdir()
        run.path.rmdir()


def test_directories_of_killed_runs_are_removed_and_no_others(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name, owner in {"b-killed": ended.pid, "b-running": os.getpid(), "other": ended.pid}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / OWNER).write_text(str(owner))
    (tmp_path / "b-starting").mkdir()
    sweep(tmp_path, "b-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b-running", "b-starting", "other"]


def test_what_strangers_left_stops_no_start_and_removes_nothing(tmp_path: Path) -> None:
    mine = tmp_path / "precious"
    mine.mkdir()
    (mine / OWNER).write_text("0")
    (tmp_path / "b-link").symlink_to(mine)
    (tmp_path / "b-text").mkdir()
    (tmp_path / "b-text" / OWNER).write_text("not a number")
    (tmp_path / "b-pipe").mkdir()
    os.mkfifo(tmp_path / "b-pipe" / OWNER)
    (tmp_path / "b-linked-note").mkdir()
    (tmp_path / "b-linked-note" / OWNER).symlink_to(mine / OWNER)
    sweep(tmp_path, "b-")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "b-link",
        "b-linked-note",
        "b-pipe",
        "b-text",
        "precious",
    ]
    assert RunDir(mine).public == mine / "r"
