"""Where the processor time of a Recommend for many users goes, on either side, without Ray, HAProxy and Postgres.

    python -m tests.benchmarks.batch_call BUNDLE [BUNDLE ..] [--users 1000] [--rounds 20]

In a process of its own each, and in turn in every round: the service over HTTP/1.1, as HAProxy asks a replica; the same
over grpc.aio; and a bare grpc.aio server that answers as many bytes. Every call asks for other users. The figures are
medians of the rounds, in microseconds of processor time per user, of the server's process (all threads) and of this
process, which asks. Asking over HTTP/1.1 is a plain socket here: what HAProxy costs, `buddies load` tells. Nothing here
is a test.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import tempfile
import time
from collections import defaultdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from spotify_buddies.clients.load.worker.process import new_loop
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import Malformed
from spotify_buddies.serve_app.api.grpc_registration import SERVICE, add_service, handlers_of
from spotify_buddies.serve_app.api.limits import REQUEST_BYTES
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.api.servicer import GrpcServicer
from spotify_buddies.serve_app.http1.listener import Listener
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Budgets
from spotify_buddies.trainer.bundle import open_bundle

PATH = f"/{SERVICE}/Recommend"
OPTIONS = (("grpc.max_receive_message_length", 64 * 2**20), ("grpc.enable_http_proxy", 0))
HEAD = b"POST %b HTTP/1.1\r\nhost: replica\r\ncontent-type: application/grpc\r\ncontent-length: %d\r\n\r\n"


async def _serve(bundle: Path, bare_bytes: int, http: Path, pipe: Connection) -> None:
    """Serve until the pipe ends, and answer whatever comes through it with the processor seconds of this process."""
    server = grpc.aio.server(options=OPTIONS)
    listener = None
    if bare_bytes:
        answer = bytes(bare_bytes)

        async def echo(_request: bytes, _context: Any) -> bytes:
            return answer

        method = grpc.unary_unary_rpc_method_handler(echo)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Recommend": method}),))
    else:
        engine = Engine(open_bundle(bundle, check_hashes=False), "7")
        service = Service(engine, model="m", budgets=Budgets(0.05, 0.05), feedback=None, daily=None, telemetry=Silent())
        service.warm_up()
        servicer = GrpcServicer(service, Silent(), ServeSettings())
        add_service(servicer, server)
        handlers = {f"/{SERVICE}/{name}": handler for name, handler in handlers_of(servicer).items()}
        listener = Listener(http, handlers, Malformed, REQUEST_BYTES)
        await listener.start()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    pipe.send(port)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, pipe.recv):
        pipe.send(time.process_time())
    await server.stop(None)
    if listener is not None:
        await listener.stop(None)


def _process(bundle: Path, bare_bytes: int, http: Path, pipe: Connection) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(bundle, bare_bytes, http, pipe))


class _Server:
    """A server in a process of its own."""

    def __init__(self, bundle: Path, bare_bytes: int, http: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_process, args=(bundle, bare_bytes, http, other), daemon=True)
        self._process.start()
        # Else the end of a process that dies would not be seen.
        other.close()
        self.port: int = self._pipe.recv()

    def seconds(self) -> float:
        """Its processor time so far."""
        self._pipe.send(True)
        seconds: float = self._pipe.recv()
        return seconds

    def stop(self) -> None:
        """End it."""
        self._pipe.send(False)
        self._process.join()


def _ask_http(place: socket.socket, data: bytes) -> int:
    """One call over HTTP/1.1: the bytes of the answer."""
    place.sendall(HEAD % (PATH.encode(), len(data) + 5) + b"\0" + len(data).to_bytes(4, "big") + data)
    size, tail = 0, b""
    while not tail.endswith(b"grpc-status: 0\r\n\r\n"):
        part = place.recv(2**20)
        if not part:
            raise RuntimeError("the service closed the connection")
        size, tail = size + len(part), (tail + part)[-64:]
    return size


def _measure(bundle: Path, users: int, rounds: int) -> None:
    held = open_bundle(bundle, check_hashes=False)
    rng = np.random.default_rng(1)

    def request() -> bytes:
        chosen = rng.integers(0, held.manifest.users, users).tolist()
        return pb.RecommendRequest(user_ids=[held.user_ids.table[row] for row in chosen]).SerializeToString()

    with tempfile.TemporaryDirectory(prefix="buddies-batch-") as scratch:
        http = Path(scratch) / "http"
        service = _Server(bundle, 0, http)
        place = socket.socket(socket.AF_UNIX)
        place.connect(str(http))
        size = _ask_http(place, request())
        bare = _Server(bundle, size, http)

        async def over_grpc(server: _Server) -> Any:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=OPTIONS)
            await channel.channel_ready()
            return channel.unary_unary(PATH)

        with asyncio.Runner(loop_factory=new_loop) as runner:
            methods = {name: runner.run(over_grpc(one)) for name, one in (("service", service), ("bare", bare))}

            async def call(method: Any, data: bytes) -> None:
                await method(data)

            ways: dict[str, tuple[_Server, Any]] = {
                "service, HTTP/1.1": (service, lambda data: _ask_http(place, data)),
                "service, grpc.aio": (service, lambda data: runner.run(call(methods["service"], data))),
                "bare grpc.aio": (bare, lambda data: runner.run(call(methods["bare"], data))),
            }
            taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
            for number in range(rounds + 2):
                for name, (server, ask) in ways.items():
                    data = request()
                    there, here = server.seconds(), time.process_time()
                    ask(data)
                    here = time.process_time() - here
                    if number > 1:
                        taken[name].append((server.seconds() - there, here))
        place.close()
        service.stop()
        bare.stop()
    print(f"\n{bundle}: {users:,} users a call, {size:,} bytes; microseconds of processor time a user")
    for name, both in taken.items():
        there, here = (statistics.median(seconds) / users * 1e6 for seconds in zip(*both, strict=True))
        print(f"  {name:20} server {there:7.2f}   client {here:7.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="+")
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    for bundle in given.bundle:
        _measure(bundle, given.users, given.rounds)


if __name__ == "__main__":
    main()
