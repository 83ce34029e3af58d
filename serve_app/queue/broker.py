"""How Ray Serve's task consumer uses Redis: one configuration for workers and producers. Imports Ray and Celery."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from celery.signals import task_failure
from ray.serve.schema import CeleryAdapterConfig, TaskProcessorConfig
from ray.serve.task_consumer import instantiate_adapter_from_config
from ray.serve.task_processor import CeleryTaskProcessorAdapter

from serve_app.queue.errors import JobFailed, UnprocessableJob
from serve_app.queue.jobs import DEAD, JOBS, TASK, UNPROCESSABLE, Jobs, prefix
from serve_app.queue.settings import QueueSettings

RETRY_BACKOFF_MAX_S = 10


class Adapter(CeleryTaskProcessorAdapter):  # type: ignore[misc]
    """Ray's, and a job that no worker can answer goes to the queue for those, where Ray's puts unknown tasks alone."""

    def _handle_task_failure(
        self,
        sender: Any = None,
        task_id: str = "",
        args: Any = None,
        kwargs: Any = None,
        einfo: Any = None,
        **other: Any,
    ) -> None:
        error = einfo.exception
        queue = UNPROCESSABLE if isinstance(error, UnprocessableJob) else DEAD
        told = f"{type(error).__name__}: {error}"
        self._move_task_to_queue(queue, sender.name, [task_id, told, str(args), str(kwargs), str(einfo)])

    @property
    def consumes(self) -> bool:
        """Whether the thread that takes jobs is alive. Celery's ends by itself, and Ray does not look."""
        return self._worker_thread is not None and self._worker_thread.is_alive()


class Producer:
    """Puts jobs into the queue."""

    def __init__(self, settings: QueueSettings, redis_url: str, jobs: Jobs) -> None:
        self._jobs = jobs
        self._adapter = instantiate_adapter_from_config(config(settings, redis_url))
        # Failures are the workers' to tell; an adapter subscribes when it is made.
        task_failure.disconnect(self._adapter._handle_task_failure)

    def submit(self, job_id: str, request: bytes) -> bool:
        """Queue a serialized RecommendRequest; False: it is answered already, and nothing was queued.

        May be repeated with the same id: the job is answered once. JobConflict: the id has another request. Whatever
        the broker raises: the job may or may not be queued, and submitting it again is safe.
        """
        if not self._jobs.record(job_id, request):
            return False
        self._adapter.enqueue_task_sync(TASK, args=[job_id], task_id=job_id)
        return True

    def retry(self, job_id: str) -> None:
        """Queue a job again with all its attempts. UnprocessableJob: its request has expired."""
        self._jobs.revive(job_id)
        self._adapter.enqueue_task_sync(TASK, args=[job_id], task_id=job_id)


def config(settings: QueueSettings, redis_url: str) -> TaskProcessorConfig:
    """Ray Serve's configuration of the queue."""
    url = broker_url(redis_url)
    return TaskProcessorConfig(
        queue_name=JOBS,
        adapter="serve_app.queue.broker.Adapter",
        adapter_config=CeleryAdapterConfig(
            broker_url=url,
            backend_url=url,
            app_custom_config={
                "result_expires": settings.result_ttl_s,
                "result_backend_transport_options": {"global_keyprefix": prefix(settings)},
                # One message for each thread; more would wait for this worker while others are idle.
                "worker_prefetch_multiplier": 1,
                "broker_connection_retry_on_startup": True,
                "broker_connection_max_retries": None,
                # The replica's logging and output are Ray's.
                "worker_hijack_root_logger": False,
                "worker_redirect_stdouts": False,
            },
            task_custom_config={
                "dont_autoretry_for": (UnprocessableJob, JobFailed),
                "retry_backoff_max": min(RETRY_BACKOFF_MAX_S, settings.redeliver_s),
            },
            broker_transport_options={
                "global_keyprefix": prefix(settings),
                "visibility_timeout": settings.redeliver_s,
                # Celery looks for messages of dead workers every 100 s by default, whatever the timeout is.
                "unacked_restore_interval": max(1, settings.redeliver_s // 4),
                "unacked_restore_throttle": 1,
            },
        ),
        max_retries=settings.attempts - 1,
        failed_task_queue_name=DEAD,
        unprocessable_task_queue_name=UNPROCESSABLE,
    )


def broker_url(redis_url: str) -> str:
    """A redis-py address as Celery writes it: unix sockets and their database have other names there."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
