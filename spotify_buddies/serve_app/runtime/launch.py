"""Starting Ray and the Serve application on this machine, and stopping both without leaving anything behind."""

from __future__ import annotations

import http.client
import logging
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psutil

from spotify_buddies.foundation.process.children import children, is_alive, name_of, stop_all
from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.local_ray import free_agent_port
from spotify_buddies.foundation.process.ports import claim
from spotify_buddies.foundation.process.private import make_private, repair
from spotify_buddies.foundation.process.run_dir import RunDir, run_dir
from spotify_buddies.foundation.process.signals import shielded, unwinding
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from spotify_buddies.serve_app.api.grpc_registration import SERVICE
from spotify_buddies.serve_app.runtime import loopback
from spotify_buddies.serve_app.runtime.app import REFUSALS, build_app
from spotify_buddies.serve_app.runtime.drain import PROXY, drain
from spotify_buddies.serve_app.runtime.flags import HAPROXY, STOP_NOTE, applied, flags, write_token
from spotify_buddies.serve_app.runtime.front.rules import Front
from spotify_buddies.serve_app.runtime.front.wrapper import write_wrapper
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services

APPLICATION = "buddies"
READY_WITHIN_S = 120.0
OBJECT_STORE_BYTES = 200 * 2**20
RUN = "b-"
# Without one of these Ray's own calls wait for minutes, or end this process from C.
VITAL = frozenset({"gcs_server", "raylet"})


@dataclass(frozen=True)
class Running:
    """Where the service answers. grpc, ray: host:port; http, dashboard: URLs; stop: idempotent.

    died: the name of a process of Ray's that cannot be done without and is gone, else None; asking is cheap.
    run: its own directory, gone after the stop. logs: where Ray's logs are then.
    version: production at the start.
    """

    grpc: str
    http: str
    dashboard: str
    ray: str
    run: RunDir
    logs: Path
    version: str
    stop: Callable[[], None]
    died: Callable[[], str | None]


@contextmanager
def launch(
    settings: ServeSettings,
    bundle: Path,
    version: str,
    services: Services,
    *,
    state_dir: Path,
    model: str = "organic-playlists",
    rollout: RolloutSettings | None = None,
) -> Iterator[Running]:
    """Serve a bundle, or the generation that is active, until the block ends or a signal arrives.

    rollout: a controller lets it follow what the registry's aliases say.

    SIGINT comes as KeyboardInterrupt, SIGTERM and SIGHUP as what their handlers raise, else SystemExit. LaunchError: a
    port is taken, or Ray does not come up. BundleError: the bundle is refused. What was started is stopped in every
    case. One run per process: Ray Serve reads its switches when it is imported.
    """
    from spotify_buddies.trainer.bundle import open_bundle

    make_private(state_dir)
    settings = _claim_ports(settings)
    # Replicas check again; here a refused bundle ends with one sentence rather than with a replica's stack.
    open_bundle(bundle)
    with ExitStack() as stack:
        terminate = stack.enter_context(unwinding())
        run = stack.enter_context(run_dir(RUN))
        (run.path / HAPROXY).mkdir(mode=0o700)
        token = write_token(state_dir)
        if settings.haproxy:
            write_wrapper(run.path / HAPROXY, token, partial(_front, settings))
        logs = state_dir / "logs"
        stack.callback(keep_logs, run, logs)
        stack.enter_context(applied(flags(settings, run, token)))
        others = children()
        vital: list[psutil.Process] = []
        stop_note = run.path / STOP_NOTE
        stop = _once(lambda: stop_ray(others, vital, lambda started: _drain(settings, stop_note, started)))

        def started() -> None:
            vital.extend(process for process in children() - others if name_of(process) in VITAL)
            terminate()

        # Signals wait while things are torn down: half a shutdown leaves processes behind.
        stack.callback(lambda: shielded(stop))
        app = build_app(settings, bundle.resolve(), version, services, model=model, rollout=rollout)
        _start(settings, run, app, started)
        address = f"{settings.host}:{settings.grpc_port}"
        http_address = f"{settings.host}:{settings.http_port}"
        served = _wait_until_ready(address, http_address, None if services.follows_registry else version)
        named = [(name_of(process), process) for process in vital]
        yield Running(
            grpc=address,
            http=f"http://{http_address}",
            dashboard=f"http://127.0.0.1:{settings.dashboard_port}",
            ray=_address(),
            run=run,
            logs=logs,
            version=served,
            stop=lambda: shielded(stop),
            died=lambda: next((name for name, process in named if not is_alive(process)), None),
        )


def _front(settings: ServeSettings, token_sha256: str, pages: str) -> Front:
    """What the front allows, by what one replica takes on."""
    return Front(
        settings.host,
        token_sha256,
        pages,
        streams=max(1, settings.stream_places // 2),
        connections=settings.max_ongoing_requests + REFUSALS,
        # The replica's own maximum comes first.
        answer_s=math.ceil(settings.request_timeout_s) + 20,
    )


def _claim_ports(settings: ServeSettings) -> ServeSettings:
    ports = {
        "grpc_port": claim(settings.grpc_port, "serve.grpc_port", settings.host),
        "http_port": claim(settings.http_port, "serve.http_port", settings.host),
        "dashboard_port": claim(settings.dashboard_port, "serve.dashboard_port"),
    }
    if len(set(ports.values())) < len(ports):
        raise LaunchError(f"the ports of [serve] must differ, found {ports}")
    return settings.model_copy(update=ports)


def _start(settings: ServeSettings, run: RunDir, app: Any, after_init: Callable[[], None]) -> None:
    from ray import serve
    from ray.exceptions import RayError

    for name in ("ray", "ray.serve", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with quiet():
            _start_ray(settings, run)
            after_init()
            _start_serve(settings)
            serve.run(app, name=APPLICATION, route_prefix="/")
    except (RayError, RuntimeError, ConnectionError, TimeoutError, ValueError) as error:
        raise LaunchError(f"Ray Serve did not start: {error}") from error
    except Exception as error:
        # Ray raises Exception itself, with its log as the message, where its dashboard finds its port taken.
        if type(error) is not Exception:
            raise
        reason = str(error).strip().splitlines()[-1]
        raise LaunchError(
            f"Ray did not start: {reason}; another service may have started just now, try again"
        ) from error


def _start_ray(settings: ServeSettings, run: RunDir) -> None:
    import ray

    replicas = max(settings.replicas, settings.max_replicas)
    with free_agent_port():
        ray.init(
            # Whatever cluster RAY_ADDRESS names, as it does in every pod of KubeRay.
            address="local",
            _node_ip_address="127.0.0.1",
            dashboard_host="127.0.0.1",
            dashboard_port=settings.dashboard_port,
            include_dashboard=True,
            _temp_dir=str(run.public),
            object_store_memory=OBJECT_STORE_BYTES,
            # Logical CPUs: one per ranker and half for the index, twice while a code release replaces them.
            num_cpus=max(os.cpu_count() or 1, 2 * replicas + 2),
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"worker_process_setup_hook": loopback.HOOK},
        )


def _address() -> str:
    """Where other processes join this one's Ray."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


def _start_serve(settings: ServeSettings) -> None:
    from ray import serve
    from ray.serve.config import HTTPOptions, gRPCOptions

    serve.start(
        # The timeout is the only one that HAProxy has for idle connections, those of gRPC included.
        http_options=HTTPOptions(
            host=settings.host, port=settings.http_port, keep_alive_timeout_s=settings.idle_connection_s
        ),
        grpc_options=gRPCOptions(
            port=settings.grpc_port,
            # Reflection comes with health: Ray's own knows one of its names, and no compressed messages.
            grpc_servicer_functions=[
                "spotify_buddies.serve_app.api.grpc_registration.add_service",
                "spotify_buddies.serve_app.api.health.add_health",
            ],
            enable_reflection=False,
            # The deployment keeps the server's maximum by itself: Serve's costs a task and a timer per call.
            request_timeout_s=None,
        ),
    )


def _wait_until_ready(address: str, http_address: str, version: str | None) -> str:
    """Until the front answers over HTTP, and only then over gRPC: a front without replicas answers with a page of text.

    Returns the production version, which must be `version` unless that is None. LaunchError when it takes too long.
    """
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    deadline = time.monotonic() + READY_WITHIN_S
    while (problem := _unhealthy(http_address)) is not None:
        if time.monotonic() > deadline:
            raise LaunchError(f"{http_address} is not ready after {READY_WITHIN_S:.0f} s: {problem}")
        time.sleep(0.1)
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        status = RecommenderServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                answered = status.GetModelStatus(pb.GetModelStatusRequest(), timeout=2.0)
                checked = health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=2.0)
                production = next((v.version for v in answered.versions if v.arm == pb.ARM_PRODUCTION), "")
                if production and production == (version or production) and checked.status == 1:
                    return production
                problem = f"it answers for {[v.version for v in answered.versions]}, health {checked.status}"
            except grpc.RpcError as error:
                problem = str(error.details())
            if time.monotonic() > deadline:
                raise LaunchError(f"{address} is not ready after {READY_WITHIN_S:.0f} s: {problem}")
            time.sleep(0.1)


def _unhealthy(address: str) -> str | None:
    """What is wrong with Ray Serve's HTTP front at host:port; None when it has replicas."""
    front = http.client.HTTPConnection(address, timeout=2.0)
    try:
        front.request("GET", "/-/healthz")
        status = front.getresponse().status
    except (http.client.HTTPException, OSError) as error:
        return str(error)
    finally:
        front.close()
    return None if status == http.client.OK else f"its health is HTTP status {status}"


def _drain(settings: ServeSettings, note: Path, started: set[psutil.Process]) -> None:
    """Answer what was accepted. note: see `health`."""
    drain(settings, note, [process for process in started if name_of(process) == PROXY])


def stop_ray(
    others: set[psutil.Process], vital: list[psutil.Process], first: Callable[[set[psutil.Process]], None] | None = None
) -> None:
    """Stop Serve and Ray, and wait for the end of every process that came with them.

    others: processes that are not theirs. vital: Ray's processes that must live for it to be asked; without them its
    processes are just ended. first: called with the processes while all of them still run.
    """
    import ray
    from ray import serve

    started = children() - others
    try:
        if vital and all(is_alive(process) for process in vital) and ray.is_initialized():
            with quiet():
                if first is not None:
                    first(started)
                serve.shutdown()
                started |= children() - others
                ray.shutdown()
    finally:
        # Ray leaves its agents to notice by themselves, half a minute later, and they go on writing until then.
        stop_all(started | (children() - others))


@contextmanager
def quiet() -> Iterator[None]:
    """Ray's driver prints the cluster's error messages to standard output; the same stand in the logs."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        yield


def _once(action: Callable[[], None]) -> Callable[[], None]:
    done = threading.Event()

    def run() -> None:
        if not done.is_set():
            done.set()
            action()

    return run


def keep_logs(run: RunDir, logs: Path) -> None:
    """Move Ray's logs of this run to the state directory, in the place of the run before, closed to other users."""
    found = run.public / "session_latest" / "logs"
    if found.exists():
        shutil.rmtree(logs, ignore_errors=True)
        shutil.copytree(found.resolve(), logs, symlinks=True, ignore_dangling_symlinks=True)
        make_private(logs)
        repair([logs])
