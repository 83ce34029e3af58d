"""One holder of a directory at a time."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from spotify_buddies.foundation.process import lock
from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.lock import LOCK, is_locked, locked

HOLD = """
import os, pathlib, signal, sys
from spotify_buddies.foundation.process.lock import locked
with locked(pathlib.Path(sys.argv[1]), "a test already runs"):
    {then}
    print(os.getpid(), flush=True)
    signal.pause()
"""
LEAVE = """
import os, pathlib, sys
from contextlib import ExitStack
from spotify_buddies.foundation.process.lock import is_locked, locked
directory = pathlib.Path(sys.argv[1])
with ExitStack() as stack:
    stack.enter_context(locked(directory, "a test already runs"))
    if (child := os.fork()) == 0:
        stack.close()
        os._exit(0)
    os.waitpid(child, 0)
    print(is_locked(directory), flush=True)
"""
# The holder is killed as soon as its child, which goes on, has its number.
FORK = "parent = os.getpid(); child = os.fork(); child and signal.pause()"


def test_the_second_is_told_who_holds_the_directory_and_what_to_do(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with locked(tmp_path, "a test already runs") as pid:
        assert pid == os.getpid()
        assert (tmp_path / LOCK).read_text() == str(pid)
        assert is_locked(tmp_path)
        expected = rf"^a test already runs in {tmp_path} \(process {pid}\); stop it, or set BUDDIES_STATE_DIR"
        with pytest.raises(LaunchError, match=expected), locked(tmp_path, "a test already runs"):
            raise AssertionError("it was free")
    assert not is_locked(tmp_path)
    assert (tmp_path / LOCK).exists()


def test_a_killed_holder_blocks_nobody(tmp_path: Path) -> None:
    with _started(HOLD.format(then=""), tmp_path) as holder:
        assert int(_line(holder)) == holder.pid
        with pytest.raises(LaunchError, match=f"process {holder.pid}"), locked(tmp_path, "a test already runs"):
            raise AssertionError("it was free")
        holder.kill()
    with locked(tmp_path, "a test already runs"):
        pass


def test_a_forked_child_holds_on_when_its_parent_is_killed(tmp_path: Path) -> None:
    with _started(HOLD.format(then=FORK), tmp_path) as holder:
        child = int(_line(holder))
        assert child != holder.pid
        try:
            holder.kill()
            holder.wait()
            with pytest.raises(LaunchError, match=f"process {holder.pid}"), locked(tmp_path, "a test already runs"):
                raise AssertionError("the child lost it")
        finally:
            os.kill(child, 9)
        # The child's end of the pipe closes when it is gone, and its lock before that.
        assert holder.stdout is not None
        assert holder.stdout.read() == b""
    with locked(tmp_path, "a test already runs"):
        pass


def test_a_child_that_leaves_the_block_does_not_release_its_parents_lock(tmp_path: Path) -> None:
    with _started(LEAVE, tmp_path) as holder:
        assert _line(holder) == b"True\n"


def test_a_directory_that_is_looked_at_can_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / LOCK).open("a+") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        # The look ends as soon as the start waits for it.
        clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: looking.close())
        monkeypatch.setattr(lock, "time", clock, raising=False)
        with locked(tmp_path, "a test already runs"):
            assert is_locked(tmp_path)


def test_those_who_look_at_a_directory_are_not_taken_for_its_holder(tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("a+") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_locked(tmp_path)


def _started(code: str, directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, str(directory)], stdout=subprocess.PIPE)


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()
