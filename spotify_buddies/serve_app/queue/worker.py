"""The worker: a Ray Serve deployment that takes jobs from the queue and answers them like Recommend."""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.message import DecodeError
from ray import serve
from ray.serve.task_consumer import task_consumer, task_handler
from redis import Redis

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.build import local, open_service
from spotify_buddies.serve_app.errors import InvalidRequest
from spotify_buddies.serve_app.queue.broker import Producer
from spotify_buddies.serve_app.queue.consumer import config
from spotify_buddies.serve_app.queue.errors import UnprocessableJob
from spotify_buddies.serve_app.queue.jobs import TASK, Jobs
from spotify_buddies.serve_app.queue.settings import QueueSettings, settings_of
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.telemetry.ray_metrics import RayTelemetry, flushing
from spotify_buddies.serve_app.telemetry.redact import cause

# Ray's adapter gives running jobs this long when a worker stops.
DRAIN_S = 10.0
_log = logging.getLogger(__name__)


class Answering(Protocol):
    """Answers requests."""

    def answer(self, request: bytes) -> bytes:
        """The serialized RecommendResponse to a serialized RecommendRequest. UnprocessableJob: it is not valid."""

    def close(self) -> None:
        """Release everything it holds."""


@dataclass(frozen=True)
class WorkerSetup:
    """Inputs of a worker. open: makes its Answering, in the worker's process; the service, except in tests."""

    settings: ServeSettings
    bundle: str
    version: str
    model: str
    services: Services
    open: Callable[[WorkerSetup], Answering]


class ServiceAnswering:
    """The online service on an event loop in a thread of its own, since jobs come on Celery's threads."""

    def __init__(self, serving: WorkerSetup) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="service", daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self._service: Service = self._run(self._open(serving))

    def answer(self, request: bytes) -> bytes:
        """As Answering.answer."""
        try:
            answer: bytes = self._run(self._recommend(pb.RecommendRequest.FromString(request)))
        except (InvalidRequest, DecodeError) as error:
            raise UnprocessableJob(str(error)) from error
        return answer

    def close(self) -> None:
        """Close the stores and end the thread. Safe to repeat: Serve calls the destructor, and then Python does."""
        if self._loop.is_closed():
            return
        self._run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _recommend(self, request: pb.RecommendRequest) -> bytes:
        return (await self._service.recommend(request)).SerializeToString()

    async def _open(self, serving: WorkerSetup) -> Service:
        # Entered first, so that what the stores count while they close is handed on too.
        telemetry = await self._stack.enter_async_context(flushing(RayTelemetry()))
        return await open_service(
            settings_of(serving.settings),
            Path(serving.bundle),
            serving.version,
            serving.services,
            self._stack,
            model=serving.model,
            telemetry=telemetry,
            neighbours=local,
            replica=f"worker#{uuid.uuid4().hex[:8]}",
        )

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


class Worker:
    """Answers jobs. A job that already has an answer is only acknowledged."""

    _adapter: Any  # Ray's wrapper sets it

    def __init__(self, serving: WorkerSetup, queue: QueueSettings) -> None:
        url = str(serving.services.redis_url)
        self._jobs = Jobs(Redis.from_url(url), queue)
        self._answering = serving.open(serving)
        self._ended = threading.Event()
        producer = Producer(queue, url, self._jobs)
        # Without a reference to the worker: its destructor ends the thread.
        threading.Thread(
            target=_send_lost_jobs, args=(producer, queue.redeliver_s / 2, self._ended), name="lost", daemon=True
        ).start()

    @task_handler(name=TASK)
    def recommend(self, job_id: str) -> None:
        """Answer one job. Celery retries after any error except UnprocessableJob and JobFailed."""
        request = self._jobs.begin(job_id)
        if request is not None:
            self._jobs.finish(job_id, self._answering.answer(request))

    def check_health(self) -> None:
        """RuntimeError: the worker takes no jobs any more, and Ray replaces it."""
        if not self._adapter.consumes:
            raise RuntimeError("the thread that takes jobs has ended")

    def __del__(self) -> None:
        # Ray's wrapper has stopped taking jobs by now.
        if hasattr(self, "_ended"):
            self._ended.set()
        if hasattr(self, "_answering"):
            self._answering.close()


def _send_lost_jobs(producer: Producer, every_s: float, ended: threading.Event) -> None:
    """Queue the jobs again that were lost with a killed worker, until this worker ends."""
    while not ended.wait(every_s):
        try:
            if lost := producer.send_lost():
                _log.warning("%d jobs were lost with a worker and are queued again", len(lost))
        except Exception as error:  # noqa: BLE001 - whatever the broker raises, there is a next time
            _log.warning("looking for lost jobs failed and is repeated later: %s", cause(error))


def build_workers(serving: WorkerSetup, queue: QueueSettings) -> Any:
    """The application, ready for serve.run."""
    consumer = task_consumer(task_processor_config=config(queue, str(serving.services.redis_url)))(Worker)
    return serve.deployment(
        name="QueueWorker",
        num_replicas=queue.workers,
        # One job at a time: a job that kills the worker must not use up the attempts of others.
        max_ongoing_requests=1,
        health_check_period_s=2.0,
        graceful_shutdown_timeout_s=DRAIN_S + 5.0,
        ray_actor_options={"num_cpus": 1},
    )(consumer).bind(serving, queue)
