"""A thread for work that no call waits for, in a process that answers calls."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

# Of a processor that others want too it then gets a tenth of their share.
NICE = 10


def patient_thread(name: str) -> ThreadPoolExecutor:
    """An executor of one thread of low priority, where threads have priorities of their own (Linux).

    One that stays: low priority cannot be taken back, and a thread for each piece of work would leave the allocator
    with an arena more each time.
    """
    return ThreadPoolExecutor(1, name, _be_patient)


def _be_patient() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
