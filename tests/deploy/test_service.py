"""The real service behind the real edge: what it listens on, and what it writes down."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from spotify_buddies.clients.python import Client, InvalidRequest, Song, Taste, secure
from spotify_buddies.serve_app.embedded import postgres, valkey
from tests.deploy.conftest import Start
from tests.processes import sockets
from tests.serve_app.bundles import make_bundle
from tests.strangers import reached
from tests.waiting import WITHIN_S

ROOT = Path(__file__).parent.parent.parent
PASSWORD = "s3cret-Pa55"
LISTENERS = ["user-1", "a-listener-nobody-knows", "a-listener-with-a-taste"]

pytestmark = pytest.mark.ray


@dataclass
class Service:
    """A running service: what it printed, where it keeps its state, its processes."""

    grpc: str
    state: Path
    run: Path
    process: subprocess.Popen[bytes]
    secrets: list[re.Pattern[str]]

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(timeout=2 * WITHIN_S)


@contextmanager
def _open(directory: Path) -> Iterator[Path]:
    """A state directory in a place that is open to everybody."""
    directory.chmod(0o755)
    state = directory / "state"
    state.mkdir()
    yield state


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Started once for all tests; the last one stops it."""
    tmp_path = tmp_path_factory.mktemp("service")
    with (
        # Where another user can come, unlike to pytest's own folders.
        tempfile.TemporaryDirectory(prefix="pg-") as directory,
        _open(Path(directory)) as state,
        postgres(Path(directory) / "data") as database,
        valkey(tmp_path / "valkey") as cache,
    ):
        # The server of the tests trusts its socket, so that a password does nothing but show up where it should not.
        separator = "&" if "?" in database else "?"
        command = [
            sys.executable, str(ROOT / "tests" / "contract" / "server.py"), "haproxy", str(make_bundle(tmp_path / "b")),
            str(state), f"{database}{separator}password={PASSWORD}", cache,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (state / "output.log").open("wb") as output:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=output, env=environment)
        assert process.stdout is not None
        with process.stdout:
            line = process.stdout.readline()
        assert line, (state / "output.log").read_text()[-4000:]
        ready = json.loads(line)
        words = [*(re.compile(rf"\b{listener}\b") for listener in LISTENERS), re.compile(PASSWORD)]
        running = Service(ready["grpc"], state, Path(ready["run"]), process, words)
        try:
            yield running
        finally:
            running.stop()


def test_the_service_behind_the_edge(service: Service, start: Start, certificates: Path) -> None:
    assert elsewhere(service.family()) == set()

    edge = start(service.grpc)
    token = edge.add("partner")
    edge.reload()
    credentials = secure(token=token, ca=certificates / "ca.pem")
    with Client(edge.address, credentials=credentials, timeout_s=WITHIN_S) as client:
        assert client.model_status().versions[0].version == "7"
        taste = Taste([Song("Song 1", "Artist 1"), Song("Song 2", "Artist 2")], user_id=LISTENERS[2])
        recommendations = client.recommend(LISTENERS[:2], tastes=[taste])
        assert [one.user_id for one in recommendations] == LISTENERS
        stored = client.feedback(recommendations[0], liked=[recommendations[0].playlists[0].playlist_id])
        assert not stored.duplicate
        with pytest.raises(InvalidRequest):
            client.recommend(["x" * 200], limit=10_000)

    service.secrets.append(re.compile(token))
    assert_secret(service, texts(service.run, edge.home))


def test_another_user_of_the_machine_reaches_nothing_of_a_running_service(service: Service) -> None:
    family = service.family()
    shown = [service.run, service.state]
    # What Ray was given is open, as ever; the way there is not.
    assert stat.S_IMODE((service.run / "r").stat().st_mode) == 0o777
    assert reached(shown, [process.pid for process in family]) == []
    # Outgoing connections and Ray's workers take any port of the kernel's range, those below included.
    ports = {
        connection.laddr.port
        for process in family
        for name, connection in sockets(process)
        if connection.status == psutil.CONN_LISTEN and not name.startswith("ray::")
    }
    assert not ports & {52_365, 44_227, 44_217, 8_265, 9_101, 8_404}  # those that Ray takes by default

    # A note that tells the service to stop, and an executable that it runs, lie where only its user writes.
    assert {path.name for path in service.run.iterdir()} == {"h", "owner.pid", "r"}
    assert (service.run / "h" / "haproxy").is_file()
    with Client(service.grpc, timeout_s=WITHIN_S) as client:
        assert client.model_status().versions[0].version == "7"


def test_what_a_stopped_service_leaves_says_nothing_of_listeners_and_nobody_else_reaches_it(service: Service) -> None:
    service.stop()
    written = texts(service.state)
    assert any("Recommender" in text for text in written.values())
    assert_secret(service, written)
    assert reached([service.state]) == []


def assert_secret(service: Service, written: dict[Path, str]) -> None:
    for path, text in written.items():
        for word in service.secrets:
            assert not word.search(text), f"{word.pattern} stands in {path}"


def elsewhere(processes: list[psutil.Process]) -> set[tuple[str, str, int]]:
    """Program, address and port of each listener that can be reached from outside this machine.

    HAProxy's UDP socket is none: it is where its log lines leave from.
    """
    return {
        (name, connection.laddr.ip, connection.laddr.port)
        for process in processes
        for name, connection in sockets(process)
        if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
        if not connection.laddr.ip.removeprefix("::ffff:").startswith("127.") and connection.laddr.ip != "::1"
        if (name, connection.type) != ("haproxy", socket.SOCK_DGRAM)
    }


def texts(*places: Path) -> dict[Path, str]:
    """What every file below these directories holds."""
    return {
        path: path.read_text(errors="replace")
        for place in places
        for path in place.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
