"""The worker: a Ray Serve deployment that takes jobs from the queue and answers them as Recommend does."""

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
from spotify_buddies.serve_app.queue.settings import QueueSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.telemetry.metrics import RayTelemetry, flushing
from spotify_buddies.serve_app.telemetry.redact import cause

# Nobody waits for a job's answer as for a call's: what a call would leave out for want of time is waited for.
BUDGET_MS = 10_000.0
# Ray's adapter gives running jobs this long when a worker stops.
DRAIN_S = 10.0
_log = logging.getLogger(__name__)


class Answering(Protocol):
    """What answers a request."""

    def answer(self, request: bytes) -> bytes:
        """A serialized RecommendRequest to a serialized RecommendResponse. UnprocessableJob: it is not valid."""

    def close(self) -> None:
        """Let go of what it holds."""


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker serves with. open: makes what answers, in the worker; the service, except in tests."""

    settings: ServeSettings
    bundle: str
    version: str
    model: str
    services: Services
    open: Callable[[WorkerSetup], Answering]


class ServiceAnswering:
    """The service of the online path on an event loop of its own, in a thread: jobs come on Celery's threads."""

    def __init__(self, serving: WorkerSetup) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="service", daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self._service: Service = self._run(self._open(serving))

    def answer(self, request: bytes) -> bytes:
        """As the protocol says."""
        try:
            answer: bytes = self._run(self._recommend(pb.RecommendRequest.FromString(request)))
        except (InvalidRequest, DecodeError) as error:
            raise UnprocessableJob(str(error)) from error
        return answer

    def close(self) -> None:
        """Close the stores and end the thread. Serve calls a destructor, and Python calls it again."""
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
            serving.settings.model_copy(update={"neighbour_budget_ms": BUDGET_MS, "store_budget_ms": BUDGET_MS}),
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
    """Answers jobs. A job that was answered before is acknowledged and left alone."""

    _adapter: Any  # Ray's wrapper sets it

    def __init__(self, serving: WorkerSetup, queue: QueueSettings) -> None:
        url = str(serving.services.redis_url)
        self._jobs = Jobs(Redis.from_url(url), queue)
        self._answering = serving.open(serving)
        self._ended = threading.Event()
        producer = Producer(queue, url, self._jobs)
        # Without a reference to the worker, whose destructor ends it.
        threading.Thread(
            target=_send_lost, args=(producer, queue.redeliver_s / 2, self._ended), name="lost", daemon=True
        ).start()

    @task_handler(name=TASK)
    def recommend(self, job_id: str) -> None:
        """Answer one job. What it raises is tried again, except UnprocessableJob and JobFailed."""
        request = self._jobs.begin(job_id)
        if request is not None:
            self._jobs.finish(job_id, self._answering.answer(request))

    def check_health(self) -> None:
        """Ray replaces a worker that takes no jobs any more."""
        if not self._adapter.consumes:
            raise RuntimeError("the thread that takes jobs has ended")

    def __del__(self) -> None:
        # Ray's wrapper has stopped taking jobs by now.
        if hasattr(self, "_ended"):
            self._ended.set()
        if hasattr(self, "_answering"):
            self._answering.close()


def _send_lost(producer: Producer, every_s: float, ended: threading.Event) -> None:
    """Queue jobs again that a killed worker took along, until the worker ends."""
    while not ended.wait(every_s):
        try:
            if found := producer.send_lost():
                _log.warning("%d jobs were lost with a worker and are queued again", len(found))
        except Exception as error:  # noqa: BLE001 - whatever the broker raises, there is a next time
            _log.warning("lost jobs are looked for later: %s", cause(error))


def build_workers(serving: WorkerSetup, queue: QueueSettings) -> Any:
    """The application, ready for serve.run."""
    consumer = task_consumer(task_processor_config=config(queue, str(serving.services.redis_url)))(Worker)
    return serve.deployment(
        name="QueueWorker",
        num_replicas=queue.workers,
        # Jobs of one worker at once: a job that ends it must not take others with it, whose attempts would be used up.
        max_ongoing_requests=1,
        health_check_period_s=2.0,
        graceful_shutdown_timeout_s=DRAIN_S + 5.0,
        ray_actor_options={"num_cpus": 1},
    )(consumer).bind(serving, queue)
