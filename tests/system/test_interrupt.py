"""Ctrl-C in a long stage: a rerun ends with the files of an undisturbed run."""

import hashlib
import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.system.conftest import Commands

SETTINGS = (("BUDDIES_TRAIN__DIMENSION", "16"), ("BUDDIES_TRAIN__EPOCHS", "6"))
STAGES = {
    ("data", "synth", "--preset", "tiny"): "raw",
    ("data", "build"): "dataset",
    ("pair", "build"): "pairing",
    ("train", "run"): "train/bundle",
}


def contents(directory: Path) -> dict[str, str]:
    """Every file's hash, but for the seconds and bytes of memory that a run took."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != "timings.json")
    return {path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def interrupt_at_first_progress(commands: Commands, arguments: tuple[str, ...]) -> tuple[int, str]:
    process = subprocess.Popen(
        # A test run in the background of a script inherits an ignored SIGINT, and would pass it on. Not by preexec_fn:
        # gRPC, which tests before this one have started here, speaks up in a forked child.
        ["env", "--default-signal=INT", *commands.command(*arguments)],
        env=commands.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=120)
    return process.returncode, first + rest


@pytest.mark.timeout(1200)
def test_an_interrupted_stage_repeated_ends_with_the_same_files(tmp_path: Path) -> None:
    undisturbed = Commands(tmp_path / "undisturbed", SETTINGS)
    interrupted = Commands(tmp_path / "interrupted", SETTINGS)
    codes = []
    for arguments, output in STAGES.items():
        undisturbed.run(*arguments)
        code, said = interrupt_at_first_progress(interrupted, arguments)
        codes.append(code)
        # A signal that lands after the last piece of work finds nothing to interrupt.
        assert code in (130, 0), said
        assert "Traceback" not in said
        interrupted.run(*arguments)
        assert contents(interrupted.state_dir / output) == contents(undisturbed.state_dir / output), arguments
    assert 130 in codes, "no stage was interrupted"
    hashes = [json.loads(c.run("train", "run", "--json"))["bundle_sha256"] for c in (undisturbed, interrupted)]
    assert hashes[0] == hashes[1]
