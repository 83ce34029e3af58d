"""Ending a running service without losing a call that it accepted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Sequence

import psutil

from serve_app.settings import ServeSettings

APPLICATION = "buddies"
# The program that Ray starts in front of the replicas.
PROXY = "haproxy"
ANNOUNCE_WITHIN_S = 5.0


def drain(settings: ServeSettings, proxies: Sequence[psutil.Process]) -> None:
    """Say NOT_SERVING, go on answering for the notice, then take no more calls and finish those in flight.

    Ray kills HAProxy at once when it shuts down, and with it every call that is being answered. So HAProxy is asked
    first (SIGUSR1, its soft stop): it stops listening, tells clients to open no more calls on their connections, and
    ends with the last answer. At most a call's longest time is waited for.
    """
    if _announced():
        time.sleep(settings.stop_notice_s)
    for process in proxies:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGUSR1)
    psutil.wait_procs(proxies, timeout=settings.request_timeout_s)


def _announced() -> bool:
    """Tell every replica; False when there is none to tell, or Serve does not answer in time."""
    import grpc
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    # Ray's long poll complains that its loop has ended; Serve ends next.
    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)
    try:
        asyncio.run(asyncio.wait_for(_announce(), ANNOUNCE_WITHIN_S))
    except (RayError, RayServeException, grpc.RpcError, TimeoutError):
        return False
    return True


async def _announce() -> None:
    from ray import serve

    # A handle that was made outside a loop would want one of its own.
    await serve.get_app_handle(APPLICATION).broadcast("announce_stop").results_async()
