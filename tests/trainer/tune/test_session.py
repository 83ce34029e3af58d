"""One search at a time, and the end of what a killed one left."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from spotify_buddies.trainer.tune.experiment import TuneError
from spotify_buddies.trainer.tune.session import end_leftovers, is_locked, locked, note, users_of

WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"
OPEN = f"import sys; log = open(sys.argv[1], 'w'); {WAIT}"


@pytest.fixture
def start() -> Iterator[object]:
    started: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: str) -> psutil.Process:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return psutil.Process(process.pid)

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_search_in_the_same_place_is_refused_and_names_the_first(tmp_path):
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(TuneError, match=r"a search already runs in .* \(process \d+\)"), locked(tmp_path):
            pass
    assert not is_locked(tmp_path)


def test_a_killed_holder_blocks_nobody(tmp_path, start):
    imports = "import sys; from pathlib import Path; from spotify_buddies.trainer.tune.session import locked"
    code = f"{imports}\nwith locked(Path(sys.argv[1])): {WAIT}"
    holder = start(code, str(tmp_path))
    with pytest.raises(TuneError, match=f"process {holder.pid}"), locked(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        pass


def test_what_a_killed_search_left_is_ended_and_others_are_not(tmp_path, start):
    (tmp_path / "tune").mkdir()
    temp, elsewhere = tmp_path / "ray", tmp_path / "ray-of-others"
    temp.mkdir()
    elsewhere.mkdir()
    noted, writing = start(WAIT), start(OPEN, str(temp / "worker.log"))
    stranger = start(OPEN, str(elsewhere / "worker.log"))
    note(tmp_path, temp, [noted])
    assert users_of(temp) == {writing}
    assert end_leftovers(tmp_path) == 2
    assert not _alive(noted)
    assert not _alive(writing)
    assert _alive(stranger)
    assert not temp.exists()
    assert end_leftovers(tmp_path) == 0


def test_a_process_that_got_the_number_of_a_noted_one_is_left_alone(tmp_path, start):
    (tmp_path / "tune").mkdir()
    process = start(WAIT)
    note(tmp_path, tmp_path / "ray", [process])
    path = Path(tmp_path, "tune", "session.json")
    path.write_text(path.read_text().replace(str(process.create_time()), str(process.create_time() - 100)))
    assert end_leftovers(tmp_path) == 0
    assert _alive(process)


def _alive(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
