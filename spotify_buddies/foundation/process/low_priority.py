"""Work that no call waits for, in a thread or in a process of low priority."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

# Of a processor that others want too it then gets a tenth of their share.
NICE = 10
# A third of their share: for a process that must act within seconds.
NICE_IN_TIME = 5


def low_priority_thread(name: str) -> ThreadPoolExecutor:
    """An executor of one thread of low priority, where threads have priorities of their own (Linux).

    Low priority cannot be taken back. For work that comes often keep the executor: the allocator may take an arena for
    each new thread.
    """
    return ThreadPoolExecutor(1, name, lambda: _lower(threading.get_native_id(), NICE))


def lower_process() -> None:
    """Lower the priority of all threads of this process a little (Linux): it answers nobody, beside others that do."""
    if sys.platform == "linux":
        for thread in Path("/proc/self/task").iterdir():
            _lower(int(thread.name), NICE_IN_TIME)


def _lower(thread: int, nice: int) -> None:
    if sys.platform == "linux":
        # A lower priority stays as it is; a system that refuses does not keep the work from being done.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, max(nice, os.getpriority(os.PRIO_PROCESS, thread)))
