"""A real HAProxy with a configuration such as Ray writes, rewritten by the wrapper, before a real gRPC server."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from spotify_buddies.foundation.process.ports import free_block
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import Malformed
from spotify_buddies.serve_app.api.grpc_registration import SERVICE, SHORT, add_service, handlers_of
from spotify_buddies.serve_app.api.limits import REQUEST_BYTES, SERVER_OPTIONS
from spotify_buddies.serve_app.api.standard.health import add_health
from spotify_buddies.serve_app.http1.call import Call
from spotify_buddies.serve_app.http1.listener import Listener
from spotify_buddies.serve_app.http1.place import socket_of
from spotify_buddies.serve_app.runtime.flags import MESSAGE_BYTES
from spotify_buddies.serve_app.runtime.front import rules
from spotify_buddies.serve_app.runtime.front.wrapper import write_wrapper
from tests.front import CONFIG, PAGE
from tests.waiting import WITHIN_S

TOKEN = "a token of the state directory"
# The limit of a request that is not answered.
WAITS = 77


class Answers:
    """Says what it was sent: the listeners as versions."""

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}
        self.held = asyncio.Event()
        self.over_http1 = False
        self.cancelled = 0

    async def Recommend(self, request, context):  # noqa: N802
        self.metadata = dict(context.invocation_metadata())
        self.over_http1 = isinstance(context, Call)
        if getattr(request, "limit", 0) == WAITS:
            await self._wait()
        if not isinstance(request, pb.RecommendRequest):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, request.message)
        return pb.RecommendResponse(recommendations=[pb.Recommendation(user_id=user) for user in request.user_ids])

    async def _wait(self):
        try:
            await self.held.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def Feedback(self, request, context):  # noqa: N802
        return pb.FeedbackResponse()

    async def GetModelStatus(self, request, context):  # noqa: N802
        return pb.GetModelStatusResponse(model="m")

    async def EraseUser(self, request, context):  # noqa: N802
        return pb.EraseUserResponse()

    async def RecommendStream(self, request, context):  # noqa: N802
        yield pb.RecommendStreamResponse()
        await self.held.wait()

    async def ExportUser(self, request, context):  # noqa: N802
        yield pb.ExportUserResponse()
        await self.held.wait()


@dataclass
class Front:
    """A running front. calls: host:port of gRPC; http, stats, metrics: its other ports. answers: what is behind it."""

    calls: str
    http: int
    stats: int
    metrics: int
    config: Path
    answers: Answers


@dataclass
class Backend:
    """sockets: the directory of its HTTP/1.1 listener, for the server that CONFIG names."""

    port: int
    answers: Answers
    sockets: str


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """A grpc.aio server with our handlers and options, and a listener for HTTP/1.1, in a thread of its own."""
    ready = threading.Event()
    made: list[Backend] = []
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        answers = Answers()
        server = grpc.aio.server(options=[*SERVER_OPTIONS, ("grpc.max_receive_message_length", MESSAGE_BYTES)])
        add_service(answers, server)
        add_health(None, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        handlers = {f"/{SERVICE}/{name}": handlers_of(answers)[name] for name in SHORT}
        listener = Listener(socket_of(sockets, "replica"), handlers, Malformed, REQUEST_BYTES)
        await listener.start()
        made.append(Backend(port, answers, sockets))
        ready.set()
        await ended.wait()
        answers.held.set()
        await listener.stop(None)
        await server.stop(None)

    with tempfile.TemporaryDirectory() as sockets:
        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
        thread.start()
        assert ready.wait(timeout=WITHIN_S)
        yield made[0]
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


Start = Callable[..., Front]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a front before a server, or before none; stopped after the module's tests."""
    running: list[subprocess.Popen[str]] = []

    def begin(backend: Backend | None, text: str = CONFIG, **limits: Any) -> Front:
        tmp_path = tmp_path_factory.mktemp("front")
        (tmp_path / "token").write_text(TOKEN)
        (tmp_path / "500.http").write_text(PAGE)
        metrics, stats, calls, http, nobody = free_block(5)
        file = tmp_path / "haproxy.cfg"
        port = backend.port if backend else nobody
        file.write_text(
            text.format(
                page=tmp_path / "500.http", metrics=metrics, stats=stats, calls=calls, http=http, replica=port,
                admin=tmp_path / "admin.sock",
            )
        )  # fmt: skip
        wrapper = write_wrapper(tmp_path, tmp_path / "token", partial(rules.Front, "127.0.0.1", **limits))
        running.append(subprocess.Popen([wrapper, "-db", "-f", file], stderr=subprocess.PIPE, text=True))
        with grpc.insecure_channel(f"127.0.0.1:{calls}") as channel:
            grpc.channel_ready_future(channel).result(timeout=WITHIN_S)
        return Front(f"127.0.0.1:{calls}", http, stats, metrics, file, backend.answers if backend else Answers())

    yield begin
    for process in running:
        process.terminate()
        said = process.communicate(timeout=WITHIN_S)[1]
        # Checks that fail are what some tests are about.
        alerts = [line for line in said.splitlines() if "ALERT" in line and "has no server available" not in line]
        assert alerts == [], said


@pytest.fixture(scope="module", params=["http1", "grpc"])
def front(request: pytest.FixtureRequest, start: Start, backend: Backend) -> Front:
    """A front before a server, over either way of unary calls, for all tests of the module that leave it as it was."""
    return start(backend, sockets=backend.sockets if request.param == "http1" else "")
