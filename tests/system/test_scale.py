"""One service under load: full, out of time, scaled up and down, bereft of a replica, stopped. Real Ray Serve, HAProxy.

Slow calls are real ones: a taste waits for the neighbour index, which is frozen, as long as its budget allows.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from spotify_buddies.clients.python.service_config import SERVICE_CONFIG
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from tests.waiting import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
HERE = Path(__file__).parent
KNOWN = pb.RecommendRequest(user_ids=["user-3"])
SLOW = pb.RecommendRequest(tastes=[pb.Taste(user_id="new", songs=[pb.Song(song_id="SO0004")])])
# Of callers that are only to be there: without it they keep an event loop busy enough for a second replica.
PAUSE_S = 0.05
# How long a SLOW call takes while the index is frozen.
SLOW_S = 0.5
FULL = 8
TIMEOUT_S = 60.0
SETTINGS = {
    "neighbour_budget_ms": SLOW_S * 1000,
    # All tastes are asked of the index.
    "local_taste_listeners": 0,
    "max_replicas": 2,
    "max_ongoing_requests": FULL,
    "target_ongoing_requests": 2.0,
    "upscale_delay_s": 0.5,
    "downscale_delay_s": 1.0,
    "scale_interval_s": 0.5,
    "scale_window_s": 2.0,
    # A caller comes back within it however busy the machine is.
    "drain_s": 5.0,
}


@dataclass(frozen=True)
class Served:
    """A running service."""

    process: subprocess.Popen[bytes]
    address: str

    def replicas(self, deployment: str = "Recommender") -> list[psutil.Process]:
        """Ray names a replica's process after its deployment."""
        running = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if f"ServeReplica:buddies:{deployment}" in " ".join(process.cmdline()):
                    running.append(process)
        return running

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        """Freeze the neighbour index, so that SLOW calls take SLOW_S."""
        (index,) = self.replicas("NeighbourIndex")
        index.suspend()
        try:
            yield
        finally:
            index.resume()


@dataclass
class Load:
    """Callers that call again a pause after they are answered, each over a connection of its own; counts codes."""

    answered: Counter[str]
    first: threading.Event


@contextlib.contextmanager
def load(
    address: str, request: pb.RecommendRequest, callers: int, *options: tuple[str, object], pause_s: float = PAUSE_S
) -> Iterator[Load]:
    made = Load(Counter(), threading.Event())
    stopping = threading.Event()

    def run() -> None:
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1), *options]) as channel:
            stub = RecommenderServiceStub(channel)
            while not stopping.is_set():
                made.answered[code_of(lambda: stub.Recommend(request, timeout=TIMEOUT_S))] += 1
                made.first.set()
                stopping.wait(pause_s)

    with ThreadPoolExecutor(callers) as pool:
        running = [pool.submit(run) for _ in range(callers)]
        try:
            yield made
        finally:
            stopping.set()
    for caller in running:
        caller.result()


def code_of(call: Callable[[], object]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return "OK"


@pytest.fixture(scope="module")
def served(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    state = tmp_path_factory.mktemp("state")
    command = [sys.executable, str(HERE / "server.py"), str(bundle_dir), str(state), json.dumps(SETTINGS)]
    log = state / "server.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
        )
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()
        assert line, f"the server did not start:\n{log.read_text()[-4000:]}"
        yield Served(process, json.loads(line)["grpc"])
        process.terminate()
        process.wait(timeout=90)
    assert process.returncode == 143, log.read_text()[-4000:]


@pytest.fixture
def stub(served: Served) -> Iterator[RecommenderServiceStub]:
    with grpc.insecure_channel(served.address) as channel:
        yield RecommenderServiceStub(channel)


def test_a_full_replica_says_at_once_when_to_come_back(served: Served, stub: RecommenderServiceStub) -> None:
    with served.slow():
        calls = [stub.Recommend.future(SLOW, timeout=TIMEOUT_S) for _ in range(4 * FULL)]
        errors = [call.exception() for call in calls]
    refused = [error for error in errors if error is not None]
    # How many depends on how many arrive within SLOW_S; without the limit all of them would wait and be answered.
    assert 0 < len(refused) < len(calls)
    for error in refused:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = rpc_status.from_call(error)
        assert status is not None
        info, retry = ErrorInfo(), RetryInfo()
        assert status.details[0].Unpack(info)
        assert status.details[1].Unpack(retry)
        assert info.reason == "SERVER_FULL"
        delay_ms = retry.retry_delay.ToMilliseconds()
        assert 50 <= delay_ms <= 150
        assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == str(delay_ms)


def test_callers_who_left_take_no_place(served: Served, stub: RecommenderServiceStub) -> None:
    with served.slow():
        left = [stub.Recommend.future(SLOW, timeout=SLOW_S / 5) for _ in range(FULL)]
        assert {call.code() for call in left} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        # Their own places would be taken until SLOW_S is over.
        wait_until(
            lambda: code_of(lambda: stub.Recommend(KNOWN, timeout=TIMEOUT_S)) == "OK", "a place is free", TIMEOUT_S
        )
        assert all(call.code() is grpc.StatusCode.DEADLINE_EXCEEDED for call in left)


def test_replicas_come_and_go_with_the_load_and_no_call_fails(served: Served) -> None:
    wait_until(lambda: len(served.replicas()) == 1, "one replica, whatever the calls before asked for", 90)
    # Two callers all the time, over connections that outlive every change.
    with load(served.address, KNOWN, 2) as steady:
        with served.slow(), load(served.address, SLOW, FULL - 2, pause_s=0) as heavy:
            wait_until(lambda: len(served.replicas()) == 2, "scaled up", 90)
            seen = heavy.answered.total()
            wait_until(lambda: heavy.answered.total() > seen + 20, "both replicas are in use", 60)
        wait_until(lambda: len(served.replicas()) == 1, "scaled down", 90)
        seen = steady.answered.total()
        wait_until(lambda: steady.answered.total() > seen + 20, "the replica that stayed answers", 60)
    assert dict(heavy.answered) == {"OK": heavy.answered.total()}
    assert dict(steady.answered) == {"OK": steady.answered.total()}


def test_a_stock_client_with_the_published_service_config_survives_the_loss_of_the_only_replica(
    served: Served,
) -> None:
    wait_until(lambda: len(served.replicas()) == 1, "one replica", 60)
    with load(served.address, KNOWN, 2, ("grpc.service_config", SERVICE_CONFIG)) as steady:
        assert steady.first.wait(TIMEOUT_S)
        (killed,) = served.replicas()
        killed.kill()
        wait_until(lambda: served.replicas() not in ([], [killed]), "another replica", 90)
        seen = steady.answered["OK"]
        wait_until(lambda: steady.answered["OK"] > seen + 20, "it answers", 60)
    # A call waits for the next replica until its own deadline, which the service config holds to two seconds.
    assert set(steady.answered) <= {"OK", "DEADLINE_EXCEEDED: Deadline Exceeded"}


def test_a_stop_answers_every_call_that_it_accepted_after_health_has_said_so(served: Served) -> None:
    statuses = health_pb2.HealthCheckResponse
    with (
        served.slow(),
        grpc.insecure_channel(served.address) as channel,
        load(served.address, KNOWN, 1) as steady,
        load(served.address, SLOW, 3) as slow,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        assert next(watch).status == statuses.SERVING
        assert steady.first.wait(TIMEOUT_S)
        assert slow.first.wait(TIMEOUT_S)
        served.process.terminate()
        assert next(watch).status == statuses.NOT_SERVING
        answered = steady.answered["OK"]
        wait_until(lambda: steady.answered["OK"] > answered, "answered after the notice", TIMEOUT_S)
        assert list(watch) == []
        wait_until(lambda: set(steady.answered) - {"OK"} and set(slow.answered) - {"OK"}, "closed", TIMEOUT_S)
    for codes in (steady.answered, slow.answered):
        # Who comes later finds nobody listening, which is UNAVAILABLE and safe to send elsewhere.
        refused = [code for code in codes if code != "OK"]
        assert all(code.startswith("UNAVAILABLE: failed to connect") for code in refused), refused
