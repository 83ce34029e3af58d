"""Another user of the machine, who knows every path and tries everything; and where there can be none."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest

NOBODY = 65_534


def as_stranger(attempt: Callable[[], list[str]], group: int = NOBODY) -> list[str]:
    """What `attempt` returns in a process of another user and of one group.

    Skips where this user cannot become another; in CI that is a failure.
    """
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("tests of strangers need root in CI")
        pytest.skip("only root can try what another user can do")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.setgroups([])
            os.setgid(group)
            os.setuid(NOBODY)
            found = json.dumps(attempt())
        except BaseException as error:  # noqa: BLE001 - it must not go on as the test
            found = json.dumps([f"the attempt failed: {error!r}"])
        with os.fdopen(writing, "w") as pipe:
            pipe.write(found)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    found: list[str] = json.loads(said)
    return found


def reached(directories: Iterable[Path], pids: Iterable[int] = ()) -> list[str]:
    """What a stranger can do below these directories, and to these processes; empty when all is well.

    The way to each directory must be open: what another directory keeps from strangers would show nothing.
    """
    directories = list(directories)
    assert directories
    assert as_stranger(lambda: [str(one) for one in directories if not os.access(one.parent, os.X_OK)]) == []
    paths = [path for directory in directories for path in (directory, *directory.rglob("*"))]
    assert all(directory.is_dir() for directory in directories)
    kinds = [(path, path.lstat().st_mode) for path in paths if path.exists() or path.is_symlink()]
    return as_stranger(lambda: [deed for path, mode in kinds for deed in _try(path, mode)] + _signal(pids))


def _try(path: Path, mode: int) -> list[str]:
    done = []
    with suppress(OSError):
        path.rename(path.with_name(f"{path.name}.stolen"))
        done.append(f"rename {path}")
    if stat.S_ISDIR(mode):
        with suppress(OSError):
            os.listdir(path)  # noqa: PTH208 - names alone
            done.append(f"list {path}")
        with suppress(OSError):
            (path / "planted").touch()
            done.append(f"write into {path}")
    elif stat.S_ISREG(mode):
        for verb, flags in (("read", os.O_RDONLY), ("write", os.O_WRONLY)):
            with suppress(OSError):
                os.close(os.open(path, flags))
                done.append(f"{verb} {path}")
    elif stat.S_ISSOCK(mode):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            done.append(f"connect to {path}")
    return done


def _signal(pids: Iterable[int]) -> list[str]:
    done = []
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, 0)  # whether a signal would be let through
            done.append(f"signal process {pid}")
    return done
