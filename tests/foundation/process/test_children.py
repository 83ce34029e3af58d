"""Processes that were noted, and others that got their ids."""

from __future__ import annotations

import os
import subprocess
import sys

from spotify_buddies.foundation.process.children import started_at, still_runs


def test_a_noted_process_runs_until_it_ends_and_none_of_its_id_is_taken_for_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = started_at(process.pid)
        assert started is not None
        assert still_runs(process.pid, started)
        assert still_runs(process.pid, None)
        assert not still_runs(process.pid, started - 60)
        process.kill()
    assert started_at(process.pid) is None
    assert not still_runs(process.pid, started)
    assert still_runs(os.getpid(), started_at(os.getpid()))
