"""A thread for work that no call waits for, in a process that answers calls."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

# Of a processor that others want too it then gets a tenth of their share.
NICE = 10


def low_priority_thread(name: str) -> ThreadPoolExecutor:
    """An executor of one thread of low priority, where threads have priorities of their own (Linux).

    Low priority cannot be taken back. For work that comes often keep the executor: the allocator may take an arena for
    each new thread.
    """
    return ThreadPoolExecutor(1, name, _lower_priority)


def _lower_priority() -> None:
    if sys.platform == "linux":
        # A lower priority stays as it is; a system that refuses does not keep the work from being done.
        with suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, max(NICE, os.getpriority(os.PRIO_PROCESS, thread)))
