"""The configuration of Ray Serve's task consumer, and our extension of its adapter. Imports Ray."""

from __future__ import annotations

from typing import Any

from ray.serve.schema import CeleryAdapterConfig, TaskProcessorConfig
from ray.serve.task_processor import CeleryTaskProcessorAdapter

from spotify_buddies.serve_app.queue.broker import broker_url, results, tls, transport
from spotify_buddies.serve_app.queue.errors import JobFailed, UnprocessableJob
from spotify_buddies.serve_app.queue.jobs import DEAD, JOBS, UNPROCESSABLE
from spotify_buddies.serve_app.queue.settings import QueueSettings

RETRY_BACKOFF_MAX_S = 10


class Adapter(CeleryTaskProcessorAdapter):  # type: ignore[misc]
    """Ray's adapter; the queue that Ray keeps for unknown tasks also gets jobs that no worker can answer."""

    def _handle_task_failure(
        self,
        sender: Any = None,
        task_id: str = "",
        exception: BaseException | None = None,
        args: Any = None,
        kwargs: Any = None,
        einfo: Any = None,
        **_: Any,
    ) -> None:
        # Not the exception of einfo, as in Ray's adapter: that is a wrapper whose text is the whole stack.
        queue = UNPROCESSABLE if isinstance(exception, UnprocessableJob) else DEAD
        message = f"{type(exception).__name__}: {exception}"
        self._move_task_to_queue(queue, sender.name, [task_id, message, str(args), str(kwargs), str(einfo)])

    @property
    def consumes(self) -> bool:
        """Whether the thread that takes jobs is alive. Celery's may end by itself, which Ray does not notice."""
        return self._worker_thread is not None and self._worker_thread.is_alive()


def config(settings: QueueSettings, redis_url: str) -> TaskProcessorConfig:
    """Ray Serve's configuration of the queue."""
    url = broker_url(redis_url)
    return TaskProcessorConfig(
        queue_name=JOBS,
        adapter="spotify_buddies.serve_app.queue.consumer.Adapter",
        adapter_config=CeleryAdapterConfig(
            broker_url=url,
            backend_url=url,
            app_custom_config={
                **results(settings),
                **tls(redis_url),
                # One message per thread: more would wait for this worker while others are idle.
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
            broker_transport_options=transport(settings),
        ),
        max_retries=settings.attempts - 1,
        failed_task_queue_name=DEAD,
        unprocessable_task_queue_name=UNPROCESSABLE,
    )
