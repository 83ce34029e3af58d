"""Waits for what a test needs: polling with a limit that fails the test, never a fixed pause."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

# Far beyond what anything takes on a busy machine of two cores.
WITHIN_S = 60.0
EVERY_S = 0.02

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], what: str, within_s: float = WITHIN_S, process: subprocess.Popen[str] | None = None
) -> T:
    """Poll until the condition holds, and return its value. AssertionError names what did not happen.

    process: one that must be alive meanwhile; when it ends, the error shows its output.
    """
    deadline = time.monotonic() + within_s
    while not (held := condition()):
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(EVERY_S)
    return held


async def until(condition: Callable[[], T | Awaitable[T]], what: str, within_s: float = WITHIN_S) -> T:
    """As wait_until, on the event loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + within_s
    while True:
        looked = condition()
        held = await looked if inspect.isawaitable(looked) else looked
        if held:
            return held
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(EVERY_S)
