"""The broker: Celery over Redis, for workers and producers. Producers need no Ray."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from celery import Celery
from kombu.exceptions import OperationalError
from redis.connection import parse_url
from redis.exceptions import RedisError

from spotify_buddies.foundation.addresses import AddressKind, parse, scrubbed
from spotify_buddies.serve_app.queue.errors import QueueError
from spotify_buddies.serve_app.queue.jobs import JOBS, TASK, Jobs, prefix
from spotify_buddies.serve_app.queue.settings import QueueSettings


class Producer:
    """Puts jobs into the queue. Close it, or use `with`."""

    def __init__(self, settings: QueueSettings, redis_url: str, jobs: Jobs) -> None:
        self._jobs = jobs
        self._url = redis_url
        self._app = application(settings, redis_url)
        # A connection of its own: Celery never closes those of its pool.
        self._connection = self._app.connection_for_write()

    def ready(self) -> Self:
        """Connect to the broker, so that nothing is recorded that cannot be queued.

        QueueError: Celery cannot use the address, or nothing answers there.
        """
        try:
            self._connection.ensure_connection(max_retries=1, interval_start=0)
        except (OperationalError, RedisError, OSError, ValueError) as error:
            raise QueueError(f"the queue's broker cannot be used: {self._first_line(error)}") from error
        return self

    def submit(self, job_id: str, request: bytes) -> bool:
        """Queue a serialized RecommendRequest; False: it is already answered, and nothing was queued.

        Safe to repeat with the same id: the job is answered once. JobConflict: the id has another request. QueueError,
        RedisError: the broker did not confirm the job, so it does not count as open, unless it did before.
        """
        known = self._jobs.is_known(job_id)
        if not self._jobs.record(job_id, request):
            return False
        try:
            self._send(job_id)
        except BaseException:
            if not known:
                with suppress(RedisError):  # Redis may be away altogether; then the job is later found as a lost one
                    self._jobs.withdraw(job_id)
            raise
        return True

    def retry(self, job_id: str) -> None:
        """Queue a job again with all its attempts. UnprocessableJob: its request has expired."""
        self._jobs.revive(job_id)
        self._send(job_id)

    def send_lost(self) -> list[str]:
        """Queue the jobs again that the broker has lost; returns their ids."""
        lost = self._jobs.lost()
        for job_id in lost:
            self._send(job_id)
        return lost

    def close(self) -> None:
        """Close the connections to the broker."""
        self._app.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, job_id: str) -> None:
        try:
            with self._app.amqp.Producer(self._connection, auto_declare=False) as sender:
                self._app.send_task(TASK, args=[job_id], queue=JOBS, task_id=job_id, producer=sender)
        except (OperationalError, ValueError) as error:
            raise QueueError(f"job {job_id!r} cannot be queued: {self._first_line(error)}") from error

    def _first_line(self, error: Exception) -> str:
        """The first line of Celery's message, which may repeat the address, without its secrets."""
        return (
            scrubbed(next(iter(str(error).split("\n")), ""), parse(self._url, AddressKind.REDIS))
            or type(error).__name__
        )


def application(settings: QueueSettings, redis_url: str) -> Any:
    """A Celery application that sends into the queue."""
    # Not the current application: in a worker that is Ray's. No backend: nobody waits here for the result of a task,
    # and Celery would listen for it, with twenty attempts where Redis is unreachable.
    app = Celery(JOBS, broker=broker_url(redis_url), set_as_current=False)
    once = {"max_retries": 1, "interval_start": 0}  # Celery's default is to try for ever
    app.conf.update(broker_transport_options={**transport(settings), **once}, **tls(redis_url))
    return app


def results(settings: QueueSettings) -> dict[str, Any]:
    """Celery's settings for the states of tasks; the answers are kept by us."""
    return {
        "result_expires": settings.result_ttl_s,
        "result_backend_transport_options": {"global_keyprefix": prefix(settings)},
    }


def transport(settings: QueueSettings) -> dict[str, Any]:
    """Celery's settings for messages in Redis, and for the redelivery of a dead worker's."""
    return {
        "global_keyprefix": prefix(settings),
        "visibility_timeout": settings.redeliver_s,
        # Celery looks for messages of dead workers every 100 s by default, whatever the timeout is.
        "unacked_restore_interval": max(1, settings.redeliver_s // 4),
        "unacked_restore_throttle": 1,
    }


def broker_url(redis_url: str) -> str:
    """A redis-py address in Celery's notation: login, host and database, or a unix socket; without options of TLS.

    Celery parses addresses by rules of its own, so this one is built from what redis-py has parsed.
    """
    parts = _parse(redis_url)
    user, password = (quote(parts.get(name, ""), safe="") for name in ("username", "password"))
    login = f"{user}{':' if password else ''}{password}@" if user or password else ""
    database = parts.get("db", 0)
    if "path" in parts:
        return f"redis+socket://{login}{quote(parts['path'])}?virtual_host={database}"
    host = parts.get("host", "localhost")
    host = f"[{host}]" if ":" in host else host
    return f"{redis_url.partition(':')[0]}://{login}{host}:{parts.get('port', 6379)}/{database}"


def tls(redis_url: str) -> dict[str, Any]:
    """Celery's settings for a rediss:// address, with redis-py's defaults, since Celery has none: {} without TLS.

    Not as a part of the address: Celery takes only four of the options from there, and its broker and its backend parse
    them differently.
    """
    parts = _parse(redis_url)
    if "path" in parts or not redis_url.startswith("rediss://"):
        return {}
    options = {name: value for name, value in parts.items() if name.startswith("ssl_")}
    options.setdefault("ssl_cert_reqs", "required")
    return {"broker_use_ssl": options, "redis_backend_use_ssl": dict(options)}


def _parse(redis_url: str) -> dict[str, Any]:
    """The parts of an address by the names of redis-py's arguments."""
    parts: dict[str, Any] = parse_url(redis_url)  # type: ignore[no-untyped-call]
    return parts
