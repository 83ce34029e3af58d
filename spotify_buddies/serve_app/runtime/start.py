"""Ray and Ray Serve, started in this process for one application, until it answers."""

from __future__ import annotations

import http.client
import logging
import os
import time
from collections.abc import Callable
from typing import Any

import grpc

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.local_ray import free_agent_port, quiet
from spotify_buddies.foundation.process.run_dir import RunDir
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from spotify_buddies.serve_app.api.grpc_registration import SERVICE
from spotify_buddies.serve_app.runtime import loopback
from spotify_buddies.serve_app.settings.serve import ServeSettings

APPLICATION = "buddies"
OBJECT_STORE_BYTES = 200 * 2**20
READY_WITHIN_S = 120.0
POLL_S = 0.1


def start_application(settings: ServeSettings, run: RunDir, app: Any, after_init: Callable[[], None]) -> None:
    """Start Ray, Serve and the application; after_init is called when Ray runs. LaunchError: one does not start."""
    from ray import serve
    from ray.exceptions import RayError

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


def gcs_address() -> str:
    """host:port where other processes join this one's Ray."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


def wait_until_ready(address: str, http_address: str, version: str | None) -> str:
    """Until the front answers over HTTP, and only then over gRPC: a front without replicas answers with a page of text.

    address, http_address: host:port. Returns the production version, which must be `version` unless that is None.
    LaunchError: it takes too long; the message says what was answered last.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    while (problem := _unhealthy(http_address)) is not None:
        _pause(deadline, http_address, problem)
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        while True:
            production, problem = _production(channel)
            if production and production == (version or production):
                return production
            _pause(deadline, address, problem)


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
                "spotify_buddies.serve_app.api.standard.health.add_health",
            ],
            enable_reflection=False,
            # The deployment keeps the server's maximum by itself: Serve's costs a task and a timer per call.
            request_timeout_s=None,
        ),
    )


def _production(channel: grpc.Channel) -> tuple[str, str]:
    """The production version of a healthy service, else ""; and what it answered."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    try:
        status = RecommenderServiceStub(channel).GetModelStatus(pb.GetModelStatusRequest(), timeout=2.0)
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        health = health_pb2_grpc.HealthStub(channel).Check(request, timeout=2.0).status
    except grpc.RpcError as error:
        return "", str(error.details())
    answer = f"it answers for {[one.version for one in status.versions]}, health {health}"
    if health != health_pb2.HealthCheckResponse.SERVING:
        return "", answer
    return next((one.version for one in status.versions if one.arm == pb.ARM_PRODUCTION), ""), answer


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


def _pause(deadline: float, address: str, problem: str) -> None:
    if time.monotonic() > deadline:
        raise LaunchError(f"{address} is not ready after {READY_WITHIN_S:.0f} s: {problem}")
    time.sleep(POLL_S)
