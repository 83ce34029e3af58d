"""The parent that ends whatever its child leaves."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil


def test_a_service_that_ends_without_a_word_leaves_nothing_to_run() -> None:
    # The service starts a process in a session of its own, which starts another one, and is killed.
    code = """
import os, signal, subprocess, sys
from spotify_buddies.foundation.process.subreaper import fork_under_subreaper
if (code := fork_under_subreaper()) is not None:
    sys.exit(-code)
inner = "import subprocess, sys; print(subprocess.Popen(['sleep', '1000']).pid, flush=True)"
subprocess.run([sys.executable, "-c", inner], start_new_session=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == signal.SIGKILL
    assert not psutil.pid_exists(int(done.stdout))
