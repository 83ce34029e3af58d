"""Start and stop of the workers on this machine, without leaving anything behind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from spotify_buddies.foundation.process.children import children, is_alive, name_of
from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.local_ray import free_agent_port, quiet
from spotify_buddies.foundation.process.private import make_private
from spotify_buddies.foundation.process.run_dir import RunDir, run_dir
from spotify_buddies.foundation.process.signals import shielded, unwinding
from spotify_buddies.serve_app.queue.settings import QueueSettings
from spotify_buddies.serve_app.runtime.flags import HAPROXY, applied, flags, write_token
from spotify_buddies.serve_app.runtime.launch import RUN
from spotify_buddies.serve_app.runtime.start import OBJECT_STORE_BYTES
from spotify_buddies.serve_app.runtime.stop import VITAL, keep_logs, stop_serving
from spotify_buddies.serve_app.settings.serve import ServeSettings

APPLICATION = "buddies-queue"


@contextmanager
def launch_workers(
    serving: Callable[[], Any], queue: QueueSettings, *, state_dir: Path
) -> Iterator[list[psutil.Process]]:
    """Take jobs until the block ends or a signal arrives; yields the processes of Ray that are vital.

    serving: makes a worker.WorkerSetup, whose module imports Ray: that must wait for the flags set here. When the block
    ends, running jobs are finished, and jobs that were taken but not begun go back to the queue. Serve's proxies stay
    off, so no port is open. LaunchError: Ray or a worker does not start. One run per process, as for the service.
    """
    make_private(state_dir)
    with ExitStack() as stack:
        terminate = stack.enter_context(unwinding())
        run = stack.enter_context(run_dir(RUN))
        (run.path / HAPROXY).mkdir(mode=0o700)
        stack.callback(keep_logs, run, state_dir / "logs")
        without = ServeSettings(haproxy=False)
        # The throughput mode would hold the workers' log back until it has a thousand lines.
        plain = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "0"}
        stack.enter_context(applied({**flags(without, run, write_token(state_dir)), **plain}))
        others = children()
        vital: list[psutil.Process] = []
        stack.callback(lambda: shielded(lambda: stop_serving(others, vital)))
        _start_ray(queue, run)
        vital.extend(process for process in children() - others if name_of(process) in VITAL)
        terminate()
        _run(serving, queue)
        yield vital


def died(vital: list[psutil.Process]) -> str | None:
    """The name of a vital process that has ended; None: all are alive."""
    return next(("Ray" for process in vital if not is_alive(process)), None)


def _start_ray(queue: QueueSettings, run: RunDir) -> None:
    import ray
    from ray.exceptions import RayError

    try:
        with quiet(), free_agent_port():
            ray.init(
                address="local",
                _node_ip_address="127.0.0.1",
                include_dashboard=False,
                _temp_dir=str(run.public),
                object_store_memory=OBJECT_STORE_BYTES,
                num_cpus=queue.workers + 1,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    except (RayError, RuntimeError, ConnectionError, TimeoutError, ValueError) as error:
        raise LaunchError(f"Ray did not start: {error}") from error


def _run(serving: Callable[[], Any], queue: QueueSettings) -> None:
    from ray import serve
    from ray.exceptions import RayError

    from spotify_buddies.serve_app.queue.worker import build_workers

    try:
        with quiet():
            serve.start(proxy_location="Disabled")
            serve.run(build_workers(serving(), queue), name=APPLICATION, route_prefix=None)
    except (RayError, RuntimeError, ConnectionError, TimeoutError) as error:
        raise LaunchError(f"the queue's workers did not start: {error}") from error
