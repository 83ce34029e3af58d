"""Celery with Redis as its broker, as workers and producers use it. Producers need no Ray."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from celery import Celery

from serve_app.queue.jobs import JOBS, TASK, Jobs, prefix
from serve_app.queue.settings import QueueSettings


class Producer:
    """Puts jobs into the queue."""

    def __init__(self, settings: QueueSettings, redis_url: str, jobs: Jobs) -> None:
        self._jobs = jobs
        self._app = application(settings, redis_url)

    def submit(self, job_id: str, request: bytes) -> bool:
        """Queue a serialized RecommendRequest; False: it is answered already, and nothing was queued.

        May be repeated with the same id: the job is answered once. JobConflict: the id has another request. Whatever
        Redis or the broker raise: the job may or may not be queued, and submitting it again is safe.
        """
        if not self._jobs.record(job_id, request):
            return False
        self._send(job_id)
        return True

    def retry(self, job_id: str) -> None:
        """Queue a job again with all its attempts. UnprocessableJob: its request has expired."""
        self._jobs.revive(job_id)
        self._send(job_id)

    def send_lost(self) -> list[str]:
        """Queue the jobs again that nobody has any more; their ids."""
        found = self._jobs.lost()
        for job_id in found:
            self._send(job_id)
        return found

    def _send(self, job_id: str) -> None:
        self._app.send_task(TASK, args=[job_id], queue=JOBS, task_id=job_id)


def application(settings: QueueSettings, redis_url: str) -> Any:
    """A Celery application that sends into the queue."""
    url = broker_url(redis_url)
    # A worker has Ray's application, which tasks find as the current one.
    app = Celery(JOBS, broker=url, backend=url, set_as_current=False)
    app.conf.update(broker_transport_options=transport(settings), **results(settings))
    return app


def results(settings: QueueSettings) -> dict[str, Any]:
    """Where Celery keeps the states of tasks; answers are kept by us."""
    return {
        "result_expires": settings.result_ttl_s,
        "result_backend_transport_options": {"global_keyprefix": prefix(settings)},
    }


def transport(settings: QueueSettings) -> dict[str, Any]:
    """How messages lie in Redis, and when those of a dead worker come back."""
    return {
        "global_keyprefix": prefix(settings),
        "visibility_timeout": settings.redeliver_s,
        # Celery looks for messages of dead workers every 100 s by default, whatever the timeout is.
        "unacked_restore_interval": max(1, settings.redeliver_s // 4),
        "unacked_restore_throttle": 1,
    }


def broker_url(redis_url: str) -> str:
    """A redis-py address as Celery writes it: unix sockets and their database have other names there."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
