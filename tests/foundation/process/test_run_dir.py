"""Directories of runs that others remove while they are looked at."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from spotify_buddies.foundation.process.run_dir import OWNER, sweep

AT_ONCE, DIRECTORIES = 4, 200


def test_services_that_start_together_sweep_the_same_directories_and_none_fails(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for number in range(DIRECTORIES):
        directory = tmp_path / f"b-{number}"
        (directory / "r" / "session" / "logs").mkdir(parents=True)
        (directory / OWNER).write_text(str(ended.pid))
    together, failed = threading.Barrier(AT_ONCE), []

    def work() -> None:
        together.wait()
        try:
            sweep(tmp_path, "b-")
        except Exception as error:  # noqa: BLE001 - whatever it is
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_no_process_can_have_stops_no_start(tmp_path: Path) -> None:
    for name, number in {"b-large": "9" * 19, "b-negative": "-7"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / OWNER).write_text(number)
    sweep(tmp_path, "b-")
    assert [path.name for path in tmp_path.iterdir() if path.name == "b-negative"] == []


def test_a_link_to_nothing_and_a_link_to_a_run_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / OWNER).write_text("0")
    (tmp_path / "b-dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "b-link").symlink_to(tmp_path / "run")
    sweep(tmp_path, "b-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b-dangling", "b-link", "run"]
