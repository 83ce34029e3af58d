"""The two entrances of the service: its front on loopback, and the TLS edge before it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import grpc

from spotify_buddies.clients.command.invoke import stop
from spotify_buddies.clients.drills.flood.wire import Door
from spotify_buddies.clients.drills.framework.service import CannotRun, DrillError
from spotify_buddies.clients.python import secure

EDGE = Path(__file__).resolve().parents[4] / "deploy" / "edge"
READY = "Loading success"
START_S, STOP_S = 20.0, 20.0
VICTIM, FLOODER = "victim", "flooder"
# The front tells callers apart by address.
ELSEWHERE = "127.0.0.2"


@dataclass(frozen=True)
class Way:
    """A way in. address, credentials: of the caller who must not notice. flooder, door: of the flooding caller."""

    name: str
    address: str
    credentials: grpc.ChannelCredentials | None
    flooder: grpc.ChannelCredentials | None
    door: Door


def front(address: str) -> Way:
    """The service's own port."""
    host, _, port = address.rpartition(":")
    return Way("front", address, None, None, Door(host, int(port), source=ELSEWHERE))


@contextmanager
def edge(backend: str, port: int) -> Iterator[Way]:
    """An edge of its own before the service until the block ends. CannotRun: none can be started here."""
    if not (EDGE / "run.sh").is_file() or find_spec("trustme") is None:
        raise CannotRun("the edge needs the checkout (deploy/edge) and trustme: pip install trustme")
    with tempfile.TemporaryDirectory(prefix="buddies-edge-") as directory:
        home = Path(directory)
        _script("certificates.py", str(home))
        names = str(home / "tokens.map")
        tokens = {name: _script("tokens.py", "--file", names, "add", name) for name in (VICTIM, FLOODER)}
        environment = {
            **os.environ,
            "PYTHON": sys.executable,
            "EDGE_BIND": f"127.0.0.1:{port}",
            "EDGE_BACKEND": backend,
            "EDGE_CERTIFICATE": str(home / "server.pem"),
            "EDGE_TOKENS": names,
        }
        log = home / "edge.log"
        with log.open("wb") as output:
            process = subprocess.Popen([str(EDGE / "run.sh")], stdout=output, stderr=output, env=environment)
        try:
            _wait(process, log)
            ca = home / "ca.pem"
            flooder = (("authorization", f"Bearer {tokens[FLOODER]}"),)
            victim, other = (secure(token=tokens[name], ca=ca) for name in (VICTIM, FLOODER))
            yield Way("edge", f"127.0.0.1:{port}", victim, other, Door("127.0.0.1", port, flooder, str(ca), ELSEWHERE))
        finally:
            stop(process, STOP_S)


def _script(name: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, str(EDGE / name), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DrillError(f"deploy/edge/{name}: {done.stderr.strip()}")
    return done.stdout.strip()


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while READY not in (said := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise DrillError(f"the edge does not start: {said[-2_000:]}")
        time.sleep(0.05)
