"""Faults of processes and connections. Each begins when its block is entered, and is undone when that is left."""

from __future__ import annotations

import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

import grpc
import psutil

from spotify_buddies.clients.command.invoke import answer, command, stop
from spotify_buddies.clients.drills.broken import MISSING, aside, file_of
from spotify_buddies.clients.drills.rollout import CONFIGURED
from spotify_buddies.clients.drills.service_under_test import STOP_WITHIN_S, DrillError, Served
from spotify_buddies.clients.python.channel import NO_PROXY
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub

Healed = Callable[[], bool]
Fault = Callable[[Served], AbstractContextManager[Healed]]

SILENT_CONNECTIONS = 10_000
GARBAGE_CONNECTIONS = 200
GARBAGE_BYTES = 4_096
UNREAD_STREAMS = 16
UNREAD_LISTENERS = 1_000
# Full after the first frames, and nobody makes room; a connection of its own for each.
SMALL_WINDOW = (("grpc.http2.lookahead_bytes", 1), ("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def killed(part: str) -> Fault:
    """Kill -9 of the oldest process of a part; healed when there are as many others as there were."""

    @contextmanager
    def fault(served: Served) -> Iterator[Healed]:
        before = served.find(part)
        if not before:
            raise DrillError(f"no {part} runs in this service; the drill needs one of its own")
        before[0].kill()
        yield lambda: len([found for found in served.find(part) if found != before[0]]) >= len(before)

    return fault


def stopped(part: str, seconds: float) -> Fault:
    """Freeze every process of a part for a time: it holds its connections and says nothing."""

    @contextmanager
    def fault(served: Served) -> Iterator[Healed]:
        frozen = served.find(part)
        if not frozen:
            raise DrillError(f"no {part} runs in this service; the drill needs one of its own")
        until = time.monotonic() + seconds
        thawed = False
        try:
            for process in frozen:
                process.suspend()

            def healed() -> bool:
                nonlocal thawed
                if not thawed and time.monotonic() >= until:
                    _resume(frozen)
                    thawed = True
                return thawed

            yield healed
        finally:
            _resume(frozen)

    return fault


def _resume(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


@contextmanager
def released(served: Served) -> Iterator[Healed]:
    """A code release; healed when every ranker and index is another process. DrillError when it fails."""
    before = [*served.find("replica"), *served.find("index")]
    with _ending(0, "", "serve", "release") as ended:
        yield lambda: ended() and not any(old.is_running() for old in before)


@contextmanager
def half_written(served: Served) -> Iterator[Healed]:
    """A version without a file of its bundle is to take half of the listeners; healed when that was given up.

    DrillError: it was not.
    """
    if not served.endpoints.mlflow or served.endpoints.mlflow == CONFIGURED:
        raise DrillError("it breaks a bundle in the embedded MLflow's store; this service has none")
    made = answer("registry", "derive", served.endpoints.model_version, "--kind", "same", "--seed", "14")
    start = ("rollout", "start", str(made["version"]), "--percent", "50", "--manual", "--force", "--wait")
    with aside(file_of(served.state_dir, made, MISSING)), _ending(1, MISSING, *start) as ended:
        yield ended


@contextmanager
def _ending(code: int, naming: str, *arguments: str) -> Iterator[Healed]:
    """Run a command; whether it has ended. DrillError: with another code, or without naming that."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command(*arguments), stdout=said, stderr=said, start_new_session=True)

        def ended() -> bool:
            if process.poll() is None:
                return False
            said.seek(0)
            text = said.read().decode(errors="replace")
            if process.returncode != code or naming not in text:
                raise DrillError(f"`buddies {' '.join(arguments)}` ended with {process.returncode}: {text[-2_000:]}")
            return True

        try:
            yield ended
        finally:
            stop(process, STOP_WITHIN_S)


@contextmanager
def silent_connections(served: Served) -> Iterator[Healed]:
    """Ten thousand connections that say nothing, as many as the limit of open files allows."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = min(SILENT_CONNECTIONS, hard - 500)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(wanted):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            # Behind the front's own limit they wait in the kernel's queue, and nobody waits for them here.
            connection.connect_ex(_address(served))
        yield lambda: _answers_a_newcomer(served)


@contextmanager
def garbage(served: Served) -> Iterator[Healed]:
    """Random bytes, some behind a valid HTTP/2 preface, over many connections that are then dropped."""
    rng = random.Random(7)  # noqa: S311 - a drill, not a secret
    for number in range(GARBAGE_CONNECTIONS):
        with suppress(OSError), _connect(served) as connection:
            connection.sendall((HTTP2_PREFACE if number % 2 else b"") + rng.randbytes(GARBAGE_BYTES))
    yield lambda: True


@contextmanager
def unread_answers(served: Served) -> Iterator[Healed]:
    """Callers that ask for large answers and never read them."""
    request = pb.RecommendRequest(user_ids=[f"nobody-{i}" for i in range(UNREAD_LISTENERS)], limit=100)
    with ExitStack() as stack:
        for _ in range(UNREAD_STREAMS):
            opened = grpc.insecure_channel(served.endpoints.grpc, options=(*SMALL_WINDOW, *NO_PROXY))
            channel = stack.enter_context(opened)
            call = RecommenderServiceStub(channel).RecommendStream(pb.RecommendStreamRequest(request=request))
            stack.callback(call.cancel)
        yield lambda: True


def _answers_a_newcomer(served: Served) -> bool:
    options = (("grpc.use_local_subchannel_pool", 1), *NO_PROXY)
    with grpc.insecure_channel(served.endpoints.grpc, options=options) as channel:
        try:
            RecommenderServiceStub(channel).GetModelStatus(pb.GetModelStatusRequest(), timeout=2.0)
        except grpc.RpcError:
            return False
    return True


def _connect(served: Served) -> socket.socket:
    return socket.create_connection(_address(served), timeout=5.0)


def _address(served: Served) -> tuple[str, int]:
    host, _, port = served.endpoints.grpc.rpartition(":")
    return host, int(port)
