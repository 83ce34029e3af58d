"""Visits that a signal ends between two steps."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


def run_whole(visits: Coroutine[Any, Any, None]) -> bool:
    """Run visits to their end; False: Ctrl-C or SIGTERM ended them before, between two steps of each."""

    async def work() -> None:
        task = asyncio.current_task()
        if task is not None:
            # As asyncio does with SIGINT.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await visits

    try:
        asyncio.run(work())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return False
    finally:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the closed loop has reset it
    return True
