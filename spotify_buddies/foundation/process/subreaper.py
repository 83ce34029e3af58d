"""A subreaper (prctl(2)): the parent of a service, which stays until nothing of the service is left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time

from spotify_buddies.foundation.process.children import children, stop_all
from spotify_buddies.foundation.process.signals import STOPPING

STOP_WITHIN_S = 60.0
TICK_S = 1.0
# From linux/prctl.h.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def fork_under_subreaper(stop_within_s: float = STOP_WITHIN_S) -> int | None:
    """Fork. None in the child, which becomes the service; in the parent its exit code, once all processes are gone.

    Ray's driver can end without any Python code running: by Ray's handlers in C, or with a raylet that dies. The parent
    passes the first stopping signal on, waits, and ends whatever is left below it; orphans are handed to it, not to
    init. Negative: the signal that ended the service. Call it before there are threads; afterwards stopping signals
    stay blocked in the parent, which is about to exit. The child has a session of its own, so that Ctrl-C comes this
    way.
    """
    # Before the fork: a child that dies at once may have left children already.
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    watched = {number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN}
    sys.stdout.flush()
    sys.stderr.flush()
    # Blocked, so that a signal between the fork and the wait is not lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*watched, signal.SIGCHLD})
    service = os.fork()
    if service == 0:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return None
    code = _watch(service, watched, stop_within_s)
    while left := children():
        stop_all(left)
        _collect()
    return code


def end_with_parent() -> None:
    """Receive SIGTERM when the thread that started this process ends, however it ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _watch(service: int, stopping: set[signal.Signals], stop_within_s: float) -> int:
    """Wait for the end of the service; SIGTERM it at the first signal, and kill it when it does not end in time."""
    deadline: float | None = None
    while True:
        caught = signal.sigtimedwait({*stopping, signal.SIGCHLD}, TICK_S)
        if (code := _reap(service)) is not None:
            return code
        if caught is not None and caught.si_signo != signal.SIGCHLD and deadline is None:
            os.kill(service, signal.SIGTERM)
            deadline = time.monotonic() + stop_within_s
        if deadline is not None and time.monotonic() > deadline:
            os.kill(service, signal.SIGKILL)


def _collect() -> None:
    """Collect all children that have ended: until then they are still listed."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _reap(service: int) -> int | None:
    """Collect the children that ended, adopted ones among them; the service's exit code when it is one of them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == service:
            return os.waitstatus_to_exitcode(status)
        if pid == 0:
            return None


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
