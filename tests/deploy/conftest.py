"""The edge: a real HAProxy with the configuration that is shipped, on free ports, stopped after each test."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.foundation.process.ports import free_port
from tests.waiting import WITHIN_S, wait_until

EDGE = Path(__file__).parent.parent.parent / "deploy" / "edge"
START_S = 120.0


def script(name: str, *arguments: str, expect: int = 0) -> str:
    """Run one of the edge's scripts as a person does; its standard output."""
    done = subprocess.run(
        [sys.executable, str(EDGE / name), *arguments], capture_output=True, text=True, check=False, timeout=WITHIN_S
    )
    assert done.returncode == expect, done.stderr
    return done.stdout if expect == 0 else done.stderr


@dataclass
class Edge:
    """A running edge. home: its certificates, its token file and its log."""

    home: Path
    port: int
    backend: str
    process: subprocess.Popen[bytes]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.home / "edge.log").read_text(errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """The access log's lines; HAProxy's own notices are no JSON."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def add(self, caller: str) -> str:
        """A new token for a caller; reload the edge to make it good."""
        return script("tokens.py", "--file", str(self.home / "tokens.map"), "add", caller).strip()

    def reload(self) -> None:
        """SIGUSR2, and wait until the new worker serves."""
        loaded = self.log.count("Loading success")
        self.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: self.log.count("Loading success") > loaded, "reload", START_S)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=WITHIN_S)


Start = Callable[..., Edge]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA with the server's certificate and one of the caller `partner`; `other/` holds those of another CA."""
    directory = tmp_path_factory.mktemp("certificates")
    for place in (directory, directory / "other"):
        script("certificates.py", str(place), "--caller", "partner")
    return directory


@pytest.fixture
def start(tmp_path: Path, certificates: Path) -> Iterator[Start]:
    """Start an edge in front of host:port; keywords are EDGE_* variables without the prefix."""
    running: list[Edge] = []

    def begin(backend: str, callers: Sequence[str] = (), **variables: str) -> Edge:
        home = tmp_path / f"edge-{len(running)}"
        home.mkdir()
        (home / "tokens.map").touch()
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")} | {
            "PYTHON": sys.executable,
            "EDGE_BIND": f"127.0.0.1:{port}",
            "EDGE_BACKEND": backend,
            "EDGE_CERTIFICATE": str(certificates / "server.pem"),
            "EDGE_TOKENS": str(home / "tokens.map"),
            **{f"EDGE_{name}": value for name, value in variables.items()},
        }
        with (home / "edge.log").open("wb") as log:
            process = subprocess.Popen([str(EDGE / "run.sh")], stdout=log, stderr=log, env=environment)
        edge = Edge(home, port, backend, process, environment)
        running.append(edge)
        wait_until(lambda: "Loading success" in edge.log or process.poll() is not None, "start of the edge", START_S)
        assert process.poll() is None, edge.log
        return edge

    yield begin
    for edge in running:
        edge.stop()


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as the machine allows this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S, source_address=(source, 0))
