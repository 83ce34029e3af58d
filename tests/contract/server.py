"""Runs one kind of server in a process of its own: python server.py KIND BUNDLE STATE POSTGRES REDIS.

Prints one JSON line when it is ready and serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from spotify_buddies.serve_app.baseline.server import serve_plain
from spotify_buddies.serve_app.runtime.launch import launch
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services


async def plain(settings: ServeSettings, bundle: Path, services: Services) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with serve_plain(settings, bundle, "7", services) as address:
        print(json.dumps({"grpc": address, "run": ""}), flush=True)
        await stopping.wait()


def main(kind: str, bundle: str, state: str, postgres_url: str, redis_url: str) -> None:
    settings = ServeSettings(
        grpc_port=0, http_port=0, dashboard_port=0, feedback_timeout_s=30.0, drain_s=0.5,
        neighbour_budget_ms=5_000, store_budget_ms=5_000, max_replicas=1,
        haproxy=kind.startswith("haproxy"), http1=kind == "haproxy",
        # Over one of the ways tastes are counted in the replica, over the others they are asked of the index.
        local_taste_listeners=50_000 if kind == "haproxy" else 0,
    )  # fmt: skip
    services = Services(postgres_url, redis_url)
    if kind == "plain":
        asyncio.run(plain(settings, Path(bundle), services))
        return
    with launch(settings, Path(bundle), "7", services, state_dir=Path(state)) as running:
        print(json.dumps({"grpc": running.grpc, "run": str(running.run.path)}), flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
