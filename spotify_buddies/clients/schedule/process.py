"""One run of a command: in a process group of its own, with a time limit, and nothing left of it afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import IO

from spotify_buddies.foundation.addresses import scrubbed

# Of the output that is kept.
MOST_BYTES, MOST_LINES = 4_000, 12


class Outcome(StrEnum):
    """How a run ended. ENDED: by us, as the scheduler ends or no longer leads. LOST: with a scheduler that died."""

    DONE = "done"
    FAILED = "failed"
    TIMEOUT = "timeout"
    ENDED = "ended"
    LOST = "lost"


@dataclass(frozen=True)
class Ended:
    """The end of a run. exit_code: negative, the signal that ended it. said: the last lines of its output."""

    outcome: Outcome
    exit_code: int
    said: str


async def run(command: Sequence[str], *, timeout_s: float, stop_within_s: float, fine: Sequence[int] = (0,)) -> Ended:
    """Run a command to its end; after timeout_s its group is sent SIGTERM, and stop_within_s later SIGKILL.

    What is left of the group after the command's end is killed. CancelledError: it was ended in the same way, and is
    gone. OSError: it cannot be started.
    """
    with tempfile.TemporaryFile() as output:
        ended_by_us = False
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "spotify_buddies.clients.schedule.child", str(os.getpid()), *command,
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(timeout_s):
                await process.wait()
        except TimeoutError:
            ended_by_us = True
        finally:
            # Shielded: a second cancellation leaves no process behind either.
            await asyncio.shield(asyncio.ensure_future(_end(process, stop_within_s)))
        code = process.returncode or 0
        if ended_by_us:
            return Ended(Outcome.TIMEOUT, code, f"{tail(output)}\nended after {timeout_s:g} s".strip())
        return Ended(Outcome.DONE if code in fine else Outcome.FAILED, code, tail(output))


def tail(output: IO[bytes]) -> str:
    """The last lines of a file, without the secrets of addresses."""
    output.seek(max(0, output.seek(0, os.SEEK_END) - MOST_BYTES))
    lines = output.read().decode(errors="replace").replace("\0", "").strip().splitlines()
    return scrubbed("\n".join(lines[-MOST_LINES:]))


async def _end(process: asyncio.subprocess.Process, within_s: float) -> None:
    """End the process and its group, if they are not over."""
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await process.wait()
    _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
