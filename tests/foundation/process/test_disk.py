"""A stage on a file system, or under a limit, that has no room for it."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from spotify_buddies.foundation.process.disk import is_full, size
from spotify_buddies.foundation.stages import stage
from spotify_buddies.foundation.terminal.console import explained

# Python ignores SIGXFSZ, so that a write past the limit is an error as on a full disk.
LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from spotify_buddies.foundation.stages import stage

def build(folder):
    np.save(folder / "small.npy", np.ones(1_000))
    {write}
    return {{}}

resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
try:
    stage.run(Path(sys.argv[1]), "big", inputs={{}}, settings={{}}, build=build)
except stage.StageError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize(
    "write",
    [
        'np.save(folder / "big.npy", np.ones(1_000_000))',
        '(folder / "big").write_bytes(bytes(2_000_000))',
        'np.ones(1_000_000).tofile(folder / "big")',
    ],
)
def test_a_write_past_the_limit_names_the_folder_and_the_stage_and_leaves_room(write: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED.format(write=write), str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr.startswith(f"{tmp_path}: no space left on ")
    assert "unfinished stage 'big'" in said.stderr
    assert list(tmp_path.iterdir()) == []

    def build(folder: Path) -> dict[str, int]:
        np.save(folder / "big.npy", np.ones(1_000_000))
        return {}

    assert not stage.run(tmp_path, "big", inputs={}, settings={}, build=build).reused


def test_only_errors_of_space_are_taken_for_it() -> None:
    assert is_full(OSError(errno.ENOSPC, "No space left on device", "x"))
    assert is_full(OSError("2794 requested and 1816 written"))
    assert not is_full(FileNotFoundError(errno.ENOENT, "No such file or directory", "x"))
    assert not is_full(ValueError("5 requested and 4 given"))
    assert not is_full(None)


def test_an_error_that_came_from_a_full_disk_is_one() -> None:
    cause = OSError(errno.EDQUOT, "Disk quota exceeded")
    with pytest.raises(RuntimeError) as raised:
        raise RuntimeError("cannot close the file") from cause
    assert is_full(raised.value)


def test_an_error_of_another_kind_keeps_the_unfinished_folder(tmp_path: Path) -> None:
    def build(folder: Path) -> dict[str, int]:
        (folder / "half").write_text("half")
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        stage.run(tmp_path, "part", inputs={}, settings={}, build=build)
    assert (tmp_path / ".part.partial" / "half").exists()


def test_a_command_names_the_file_system_of_a_file_outside_a_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as left, explained():
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "report.html"))
    assert left.value.exit_code == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}: no space left on ")
    assert said.endswith("free space there and rerun the command\n")


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 50, "3072.0 TiB")],
)
def test_bytes_have_a_unit(count: int, shown: str) -> None:
    assert size(count) == shown


def test_a_full_disk_while_writing_below_a_folder_names_the_folder(tmp_path: Path) -> None:
    expected = f"^{tmp_path}/raw: no space left on .* rerun the command to resume$"
    with pytest.raises(stage.StageError, match=expected), stage.Writing(tmp_path / "raw"):
        raise RuntimeError("database or disk is full")
    with pytest.raises(KeyError), stage.Writing(tmp_path):
        raise KeyError("other")


def test_what_a_stage_says_of_a_full_disk_is_not_said_again(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(stage.StageError, match=r"^of the stage$"), stage.Writing(tmp_path):
        raise stage.StageError("of the stage") from full
