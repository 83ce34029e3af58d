"""The end of what a killed run left running."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from spotify_buddies.foundation.process.children import is_alive
from spotify_buddies.foundation.process.orphans import forget, note_session, noted, stop_orphans, users_of

WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"
OPEN = f"import sys; log = open(sys.argv[1], 'w'); {WAIT}"
Start = Callable[..., psutil.Process]


@pytest.fixture
def start() -> Iterator[Start]:
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


def test_noted_processes_are_stopped_and_others_are_not(tmp_path: Path, start: Start) -> None:
    notes = tmp_path / "notes.json"
    first, second, stranger = start(WAIT), start(WAIT), start(WAIT)
    blocks = [noted(notes, process.pid) for process in (first, second)]
    for block in blocks:
        block.__enter__()  # a killed run never leaves it
    assert stop_orphans(notes) == 2
    assert [is_alive(process) for process in (first, second, stranger)] == [False, False, True]
    assert list(tmp_path.iterdir()) == []
    assert stop_orphans(notes) == 0


def test_the_note_of_a_process_ends_with_its_block_and_others_stay(tmp_path: Path, start: Start) -> None:
    notes = tmp_path / "notes.json"
    first, second = start(WAIT), start(WAIT)
    with noted(notes, first.pid):
        with noted(notes, second.pid):
            assert [pid for pid, _ in json.loads(notes.read_text())] == [first.pid, second.pid]
        assert [pid for pid, _ in json.loads(notes.read_text())] == [first.pid]
    assert not notes.exists()


def test_whoever_writes_into_a_sessions_directory_is_stopped_and_the_directory_removed(
    tmp_path: Path, start: Start
) -> None:
    notes, directory, elsewhere = tmp_path / "notes.json", tmp_path / "ray", tmp_path / "ray-of-others"
    directory.mkdir()
    elsewhere.mkdir()
    process, writing = start(WAIT), start(OPEN, str(directory / "worker.log"))
    stranger = start(OPEN, str(elsewhere / "worker.log"))
    note_session(notes, directory, [process])
    assert users_of(directory) == {writing}
    assert stop_orphans(notes) == 2
    assert [is_alive(one) for one in (process, writing, stranger)] == [False, False, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ray-of-others"]


def test_a_process_that_got_the_number_of_a_noted_one_is_left_alone(tmp_path: Path, start: Start) -> None:
    notes = tmp_path / "notes.json"
    process = start(WAIT)
    notes.write_text(json.dumps([[process.pid, process.create_time() - 100]]))
    assert stop_orphans(notes) == 0
    assert is_alive(process)


@pytest.mark.parametrize("text", ["", "[[1,", None])
def test_notes_that_cannot_be_read_name_nobody(tmp_path: Path, text: str | None) -> None:
    notes = tmp_path / "notes.json"
    if text is not None:
        notes.write_text(text)
    assert stop_orphans(notes) == 0
    forget(notes)
    assert not notes.exists()
