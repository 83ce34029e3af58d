"""`buddies` commands run by a command: other packages are reached by what a person would type."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


class CommandFailed(Exception):
    """A command ended with an error; the message is what it said."""


def command(*arguments: str) -> list[str]:
    """The command line of `buddies ARGUMENTS` with this Python."""
    return [sys.executable, "-m", "spotify_buddies.clients.main", *arguments]


def answer(*arguments: str) -> Any:
    """The output of `buddies ARGUMENTS --json`. CommandFailed when it fails."""
    finished = subprocess.run(command(*arguments, "--json"), capture_output=True, check=False)
    if finished.returncode != 0:
        said = finished.stderr.decode(errors="replace").strip()
        raise CommandFailed(said.removeprefix("error: ") or f"exit code {finished.returncode}")
    return json.loads(finished.stdout)


def stop(process: subprocess.Popen[Any], within_s: float) -> None:
    """Ask a process to end, and kill it when it does not in time. One that has ended is fine."""
    process.terminate()
    try:
        process.wait(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
