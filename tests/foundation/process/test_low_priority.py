"""Threads of low priority, beside one that keeps its own."""

from __future__ import annotations

import os
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


def test_the_work_is_done_where_priorities_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(low_priority.os, "setpriority", refuse)
    with low_priority.low_priority_thread("a") as thread:
        assert thread.submit(lambda: 1).result() == 1
