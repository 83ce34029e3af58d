"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

TICK_S = 0.1


def wait(condition: Callable[[], bool], patience_s: float, tick_s: float = TICK_S) -> bool:
    """Poll until the condition holds; False when patience ends first."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(tick_s)
    return True
