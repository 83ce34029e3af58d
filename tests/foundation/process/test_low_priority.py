"""Threads of low priority, beside one that keeps its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from spotify_buddies.foundation.process import low_priority


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own there")
def test_the_thread_has_low_priority_and_its_maker_keeps_its_own() -> None:
    before = priority()
    with low_priority.low_priority_thread("a") as thread:
        assert thread.submit(priority).result() == max(low_priority.NICE, before)
    assert priority() == before


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own there")
def test_every_thread_of_a_process_has_the_lower_priority_and_none_gets_a_higher_one() -> None:
    script = """
import os, threading
from spotify_buddies.foundation.process.low_priority import NICE, lower_process, low_priority_thread
with low_priority_thread("a") as thread:
    low = thread.submit(threading.get_native_id).result()
    lower_process()
    print(os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PROCESS, low))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = max(low_priority.NICE_IN_TIME, mine), max(low_priority.NICE, mine)
    assert tuple(map(int, ran.stdout.split())) == wanted


def test_the_work_is_done_where_priorities_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(low_priority.os, "setpriority", refuse)
    with low_priority.low_priority_thread("a") as thread:
        assert thread.submit(lambda: 1).result() == 1
