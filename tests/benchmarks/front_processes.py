"""The processes that front_tries asks: the service's handlers behind a listener, grpc.aio or a server of ASGI.

    python -m tests.benchmarks.front_processes WAY BUNDLE PLACE    PLACE: a socket's path, or a port for grpc.aio

`application` is for a server that imports it; the environment's FRONT_BUNDLE names its bundle.
"""

from __future__ import annotations

import asyncio
import gc
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import uvloop

from spotify_buddies.serve_app.api.codec import Malformed
from spotify_buddies.serve_app.api.grpc_registration import SERVICE, add_service, handlers_of
from spotify_buddies.serve_app.api.limits import REQUEST_BYTES, SERVER_OPTIONS
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.api.servicer import GrpcServicer
from spotify_buddies.serve_app.http1.call import Call
from spotify_buddies.serve_app.http1.connection import Connection
from spotify_buddies.serve_app.http1.framing import PREFIX_BYTES
from spotify_buddies.serve_app.http1.listener import Listener
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Budgets
from spotify_buddies.trainer.bundle import open_bundle

PATH = f"/{SERVICE}/Recommend"
LISTENER, BARE, APPLICATION = "listener", "grpc.aio", "tests.benchmarks.front_processes:application"


def service_of(bundle: Path) -> Service:
    """The service on a bundle, warm, without stores."""
    service = Service(
        Engine(open_bundle(bundle, check_hashes=False), "7"),
        model="m", budgets=Budgets(0.05, 0.05), feedback=None, daily=None, telemetry=Silent(),
    )  # fmt: skip
    service.warm_up()
    return service


def servicer_of(bundle: Path) -> GrpcServicer:
    """The service's handlers."""
    return GrpcServicer(service_of(bundle), Silent(), ServeSettings())


# What a listener's process changes before it starts.


def one_core() -> None:
    """Stay on the last core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def no_collection() -> None:
    """Never look for cycles of garbage."""
    gc.freeze()
    gc.disable()


class _Standing:
    """What asyncio.timeout needs of a task that is never cancelled."""

    def cancelling(self) -> int:
        return 0

    def uncancel(self) -> int:
        return 0


class _Stepping:
    """Stands for the loop: runs a coroutine to its end at once. RuntimeError: it waits for something."""

    def __init__(self, loop: Any) -> None:
        self._loop, self._task = loop, _Standing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def create_task(self, coroutine: Any) -> Any:
        asyncio._enter_task(self._loop, self._task)  # type: ignore[arg-type]
        try:
            coroutine.send(None)
        except StopIteration:
            return None
        finally:
            asyncio._leave_task(self._loop, self._task)  # type: ignore[arg-type]
        raise RuntimeError("a call waited")


def no_task() -> None:
    """Run a call where its request was read, without a task of its own: known listeners' calls wait for nothing."""
    usual = Connection.__init__

    def init(connection: Any, server: Any, loop: Any) -> None:
        usual(connection, server, _Stepping(loop))  # type: ignore[arg-type]

    Connection.__init__ = init  # type: ignore[assignment,method-assign]


VARIATIONS: dict[str, Callable[[], None]] = {
    LISTENER: lambda: None,
    "listener, asyncio's loop": lambda: None,
    "listener, GIL switched every 0.5 ms": lambda: sys.setswitchinterval(0.0005),
    "listener, GIL switched every 50 ms": lambda: sys.setswitchinterval(0.05),
    "listener, no garbage collection": no_collection,
    "listener, one core": one_core,
    "listener, no task for a call": no_task,
}


async def listen(bundle: Path, socket: Path) -> None:
    """Answer on the socket until the process ends."""
    handlers = handlers_of(servicer_of(bundle))
    await Listener(socket, {PATH: handlers["Recommend"]}, Malformed, REQUEST_BYTES).start()
    await asyncio.Event().wait()


async def bare(bundle: Path, port: int) -> None:
    """Answer with grpc.aio until the process ends."""
    server = grpc.aio.server(options=SERVER_OPTIONS)
    add_service(servicer_of(bundle), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def asgi(bundle: Path) -> Any:
    """The handler as an ASGI application that speaks gRPC: what a server of ASGI with trailers can carry."""
    handler = handlers_of(servicer_of(bundle))["Recommend"]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        answer = await handler.unary_unary(handler.request_deserializer(body[PREFIX_BYTES:]), Call(()))
        data = handler.response_serializer(answer)
        headers = [(b"content-type", b"application/grpc"), (b"trailer", b"grpc-status")]
        await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
        await send({"type": "http.response.body", "body": struct.pack(">BI", 0, len(data)) + data})
        await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})

    return app


def __getattr__(name: str) -> Any:
    """`application`, for a server that imports it: on the bundle that FRONT_BUNDLE names."""
    if name != "application":
        raise AttributeError(name)
    return asgi(Path(os.environ["FRONT_BUNDLE"]))


def main() -> None:
    """Be one of the processes."""
    way, bundle, place = sys.argv[1:]
    if way == BARE:
        asyncio.run(bare(Path(bundle), int(place)))
        return
    VARIATIONS[way]()
    make = asyncio.new_event_loop if "asyncio" in way else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(listen(Path(bundle), Path(place)))


if __name__ == "__main__":
    main()
