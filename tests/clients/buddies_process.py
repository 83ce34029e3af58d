"""The `buddies` command with nothing but the settings that a test gives: as a process, or in this one."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from spotify_buddies.clients.main import main
from spotify_buddies.foundation.process.signals import STOPPING
from tests.waiting import WITHIN_S

# One at a time: standard output, the directory and the environment are the process's.
_alone = threading.Lock()


def buddies(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As a process: for what a process is needed for, because each takes a second or two to import what it needs."""
    return subprocess.run(
        [sys.executable, "-m", "spotify_buddies.clients.main", *arguments],
        cwd=cwd,
        env={**_inherited(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        timeout=4 * WITHIN_S,
        check=False,
    )


def called(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in this process: what it prints and its exit code. An error that the command does not explain is raised.

    Commands that start others, wait for signals or change their own process need `buddies`.
    """
    with _alone, _own(cwd, {**_inherited(), **environment}, arguments) as (out, err):
        try:
            main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code
        if isinstance(code, str):
            err.write(f"{code}\n")
        texts = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(arguments, code if isinstance(code, int) else int(code is not None), *texts)


def _inherited() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BUDDIES_", "MLFLOW_"))}
    return {**kept, "COLUMNS": "160"}


@contextmanager
def _own(
    cwd: Path, environment: dict[str, str], arguments: tuple[str, ...]
) -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """Directory, environment, arguments, signals and standard output of a command's own, until the block ends."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    mask = os.umask(0)
    os.umask(mask)
    # Only the main thread may change them, the command included.
    main_thread = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in STOPPING} if main_thread else {}
    try:
        with (
            chdir(cwd),
            mock.patch.dict(os.environ, environment, clear=True),
            mock.patch.object(sys, "argv", ["buddies", *arguments]),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            yield out, err
    finally:
        os.umask(mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
