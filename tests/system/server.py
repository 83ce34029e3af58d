"""Runs the service in a process of its own: python server.py BUNDLE STATE SETTINGS-AS-JSON.

Prints one JSON line when it is ready and serves until SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from spotify_buddies.serve_app.runtime.launch import launch
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services


def main(bundle: str, state: str, settings: str) -> None:
    wanted = ServeSettings(grpc_port=0, http_port=0, dashboard_port=0, **json.loads(settings))
    with launch(wanted, Path(bundle), "7", Services(), state_dir=Path(state)) as running:
        print(json.dumps({"grpc": running.grpc, "http": running.http}), flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
