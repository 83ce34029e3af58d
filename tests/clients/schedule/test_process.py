"""A run of a command: its time limit, what it said, and nothing left of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from spotify_buddies.clients.schedule.process import MOST_LINES, Ended, Outcome, run
from tests.waiting import WITHIN_S, until

# Has a child in the same group, and both ignore SIGTERM.
STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", code])
print("stays", flush=True)
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""


def python(code: str, *arguments: str, timeout_s: float = WITHIN_S, stop_within_s: float = WITHIN_S) -> Ended:
    return asyncio.run(
        run([sys.executable, "-c", code, *arguments], timeout_s=timeout_s, stop_within_s=stop_within_s, fine=(0, 4))
    )


def test_exit_codes_that_are_fine_are_done_and_others_failed_with_the_last_lines() -> None:
    assert python("print('quiet')") == Ended(Outcome.DONE, 0, "quiet")
    assert python("raise SystemExit(4)").outcome is Outcome.DONE
    failed = python(
        "import sys; print(*range(100), sep='\\n'); sys.exit('error: postgresql://ada:secret@db/x is away')"
    )
    assert (failed.outcome, failed.exit_code) == (Outcome.FAILED, 1)
    assert failed.said.splitlines()[-2:] == ["99", "error: postgresql://db/x is away"]
    assert len(failed.said.splitlines()) == MOST_LINES


def test_what_outlives_its_time_limit_is_ended() -> None:
    ended = python("import time; time.sleep(600)", timeout_s=0.5)
    assert (ended.outcome, ended.exit_code, ended.said) == (Outcome.TIMEOUT, -15, "ended after 0.5 s")


def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import pathlib, subprocess, sys; child = subprocess.Popen(['/bin/sleep', '600']); "
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))"
    )
    assert python(code, str(tmp_path / "child")).outcome is Outcome.DONE
    asyncio.run(until(lambda: not runs_still(int((tmp_path / "child").read_text())), "the child has ended"))


def test_a_run_that_is_cancelled_is_gone_with_its_children_even_if_they_ignore_sigterm(tmp_path: Path) -> None:
    note = tmp_path / "child"

    async def cancel() -> None:
        work = asyncio.create_task(
            run([sys.executable, "-c", STUBBORN, str(note)], timeout_s=WITHIN_S, stop_within_s=0.1)
        )
        await until(lambda: note.exists() and note.read_text(), "it runs")
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(cancel())
    asyncio.run(until(lambda: not runs_still(int(note.read_text())), "the child has ended"))


def test_a_command_that_cannot_be_started_has_failed_with_the_reason(tmp_path: Path) -> None:
    ended = asyncio.run(run([str(tmp_path / "missing")], timeout_s=WITHIN_S, stop_within_s=WITHIN_S))
    assert (ended.outcome, ended.exit_code) == (Outcome.FAILED, 1)
    assert "No such file or directory" in ended.said


def runs_still(pid: int) -> bool:
    """A zombie waits for whoever is to collect it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
