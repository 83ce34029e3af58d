"""One search at a time, and the end of what a killed one left."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from spotify_buddies.foundation.process.children import is_alive
from spotify_buddies.trainer.tune.experiment import TuneError
from spotify_buddies.trainer.tune.session import forget, is_locked, locked, note, stop_orphans

WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"


def test_a_second_search_in_the_same_place_is_refused_and_names_the_first(tmp_path):
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(TuneError, match=r"a search already runs in .* \(process \d+\)"), locked(tmp_path):
            pass
    assert not is_locked(tmp_path)


def test_what_a_killed_search_left_is_stopped_and_nothing_of_one_that_ended(tmp_path):
    temp = tmp_path / "ray"
    temp.mkdir()
    with (
        locked(tmp_path),
        subprocess.Popen([sys.executable, "-c", WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout.readline() == b"ready\n"
        left = psutil.Process(process.pid)
        note(tmp_path, temp, [left])
        forget(tmp_path)
        assert stop_orphans(tmp_path) == 0
        assert is_alive(left)
        note(tmp_path, temp, [left])
        assert stop_orphans(tmp_path) == 1
        assert not is_alive(left)
        assert not temp.exists()
