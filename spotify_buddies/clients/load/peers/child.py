"""A server as a child process: started by a `buddies` command, stopped in every case."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from spotify_buddies.clients.command.invoke import command, stop
from spotify_buddies.clients.load.client_processes import LoadError
from spotify_buddies.foundation.process.children import stop_all

READY_WITHIN_S = 120.0
STOP_WITHIN_S = 15.0
# Peers ask nobody for a token: they listen where the service may be told to listen for the network.
ON_LOOPBACK = {"BUDDIES_SERVE__HOST": "127.0.0.1"}


@contextmanager
def child_server(what: str, *arguments: str, quiet: bool = False) -> Iterator[tuple[dict[str, Any], int]]:
    """`buddies ARGUMENTS` until the block ends; yields its first line, which is JSON, and its process's id.

    quiet: what it says on standard error is for the LoadError alone, which is raised when it does not come up.
    """
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C is for the measurement, and this server is stopped after it.
        process = subprocess.Popen(
            command(*arguments), stdout=subprocess.PIPE, stderr=log if quiet else None, start_new_session=True,
            env={**os.environ, **ON_LOOPBACK},
        )  # fmt: skip
        try:
            yield _said(_first_line(process, what, log if quiet else None), what), process.pid
        finally:
            stop_child(process, STOP_WITHIN_S)
            if process.stdout is not None:
                process.stdout.close()


def stop_child(process: subprocess.Popen[bytes], within_s: float) -> None:
    """Ask it to end, and end what is left of its tree then."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    try:
        stop(process, within_s)
    finally:
        stop_all(family)


def reason_of(log: Any, code: int) -> str:
    """Why a process ended: the last line that it said, without the prefix of the house's errors."""
    log.seek(0)
    said = log.read().decode(errors="replace").strip().splitlines()
    return said[-1].removeprefix("error: ") if said else f"it ended with code {code}"


def _said(text: bytes, what: str) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(text.partition(b"\n")[0])
    except ValueError:
        raise LoadError(f"{what} began with {text[:80]!r} instead of JSON") from None
    return said


def _first_line(process: subprocess.Popen[bytes], what: str, log: Any) -> bytes:
    if process.stdout is None:
        raise ValueError("started without a pipe")
    deadline, text = time.monotonic() + READY_WITHIN_S, b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while b"\n" not in text:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise LoadError(f"{what} is not ready within {READY_WITHIN_S:.0f} s")
            part = os.read(process.stdout.fileno(), 65_536)
            if not part:
                raise LoadError(_ended(process.wait(), what, log))
            text += part
    return text


def _ended(code: int, what: str, log: Any) -> str:
    if log is not None:
        return reason_of(log, code)
    return f"{what} ended with code {code}; its messages are above; --bundle names a bundle"


def bundle_option(bundle: Path | None) -> tuple[str, ...]:
    """The option that names a bundle; none: what the state directory serves."""
    return ("--bundle", str(bundle)) if bundle else ()
