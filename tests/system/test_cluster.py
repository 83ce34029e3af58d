"""`--ray`: the commands on a cluster of their own, which leave the same files and nothing else."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.strangers import reached
from tests.system.conftest import Commands
from tests.system.test_interrupt import contents

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

MARK = "TEST_CLUSTER_MARK"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("raw")
    Commands(directory).run("data", "synth", "--preset", "tiny")
    return directory / "raw"


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    """Commands with a place of their own for temporary files, whose processes are marked."""
    temp = tempfile.mkdtemp(prefix="t-", dir="/tmp")  # sockets need short paths
    Path(temp).chmod(0o755)  # as /tmp itself: what is in it looks after itself
    opened = Path(temp) / "ray"  # which Ray opens to everybody
    opened.mkdir()
    extra = (("TMPDIR", temp), (MARK, secrets.token_hex(8)), ("RAY_TMPDIR", str(opened)), ("RAY_ADDRESS", ""))
    yield Commands(tmp_path / "state", extra)
    shutil.rmtree(temp, ignore_errors=True)


def left(commands: Commands) -> list[str]:
    """Processes that still carry the mark, and Ray's temporary directories."""
    extra = dict(commands.extra)
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == extra[MARK] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found + [path.name for path in Path(extra["TMPDIR"]).glob("bray-*")]


def test_the_commands_make_the_same_files_on_a_cluster_and_leave_nothing(commands: Commands, raw: Path) -> None:
    commands.run("data", "build", str(raw))
    commands.run("pair", "build")
    state = commands.state_dir
    here = contents(state / "dataset"), contents(state / "pairing")
    shutil.rmtree(state / "dataset")
    shutil.rmtree(state / "pairing")

    built = json.loads(commands.run("data", "build", str(raw), "--ray", "auto", "--json"))
    paired = json.loads(commands.run("pair", "build", "--ray", "auto", "--json"))
    assert built["8-triplets"]["triplets"] > 0
    assert paired["nearest"]["users"] > 0
    assert (contents(state / "dataset"), contents(state / "pairing")) == here
    assert left(commands) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_cluster_too(commands: Commands, raw: Path, number: signal.Signals, code: int) -> None:
    for _ in range(5):
        process = commands.start("data", "build", str(raw), "--ray", "auto")
        assert process.stdout is not None
        first = process.stdout.readline()
        # Ray is up then. At once, for the work is short; to every process of the terminal, as Ctrl-C goes.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        assert first.startswith("fingerprints"), first
        rest, _ = process.communicate(timeout=120)
        if process.returncode != 0:
            break
        # On a busy machine the work, a second's, can be over before the signal comes: then from the beginning.
        shutil.rmtree(commands.state_dir / "dataset")
    assert process.returncode == code, rest
    assert "Traceback" not in rest
    assert left(commands) == []


def test_another_user_reaches_nothing_of_a_cluster_of_our_own(commands: Commands, raw: Path) -> None:
    for _ in range(5):
        process = commands.start("data", "build", str(raw), "--ray", "auto")
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("fingerprints")  # Ray is up then
            process.send_signal(signal.SIGSTOP)  # and stays up while it is looked at
            runs = [*Path(dict(commands.extra)["TMPDIR"]).glob("bray-*")]
            found = [((run / "token").is_file(), reached([run])) for run in runs]
        finally:
            process.send_signal(signal.SIGCONT)
            rest, _ = process.communicate(timeout=120)
        assert process.returncode == 0, rest
        if runs:
            break
        # On a busy machine the work, a second's, can be over before it is stopped: then from the beginning.
        shutil.rmtree(commands.state_dir / "dataset")
    assert found == [(True, [])]
