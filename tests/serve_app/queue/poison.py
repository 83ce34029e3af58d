"""Workers with poison, in a process of their own: python poison.py BUNDLE STATE REDIS SETTINGS.

The service answers, but a request for the listener "fails" raises, and one for "kills" ends the worker.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.queue.launch import launch_workers
from spotify_buddies.serve_app.queue.settings import QueueSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services


class Poisonous:
    def __init__(self, serving: Any) -> None:
        from spotify_buddies.serve_app.queue.worker import ServiceAnswering

        self._service = ServiceAnswering(serving)

    def answer(self, request: bytes) -> bytes:
        try:
            users = list(pb.RecommendRequest.FromString(request).user_ids)
        except DecodeError:
            users = []
        if "kills" in users:
            os.kill(os.getpid(), signal.SIGKILL)
        if "fails" in users:
            raise ZeroDivisionError("poison")
        return self._service.answer(request)

    def close(self) -> None:
        self._service.close()


def main(bundle: str, state: str, redis_url: str, settings: str) -> None:
    def serving() -> Any:
        # By its name, not as this script's: the worker imports it.
        from poison import Poisonous as Imported

        from spotify_buddies.serve_app.queue.worker import WorkerSetup

        return WorkerSetup(ServeSettings(), bundle, "7", "m", Services(redis_url=redis_url), Imported)

    with launch_workers(serving, QueueSettings.model_validate_json(settings), state_dir=Path(state)):
        print("ready", flush=True)
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(*sys.argv[1:])
