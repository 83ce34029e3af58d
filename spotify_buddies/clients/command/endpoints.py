"""Addresses of the running service of a state directory, as `buddies serve start` wrote them."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import psutil

FILE = "serving.json"
# In place of an address that the settings name: it may hold a password.
CONFIGURED = "configured"


@dataclass(frozen=True)
class Endpoints:
    """Addresses of one running service. pid: the process of `buddies serve start`. bundle: the directory it serves."""

    pid: int
    grpc: str
    http: str
    dashboard: str
    mlflow: str
    postgres: str
    redis: str
    model_version: str
    bundle: str = ""


def running(state_dir: Path) -> Endpoints | None:
    """The service that this state directory runs now.

    None when none does; a crashed one leaves its file behind, and one of another release may lack fields.
    """
    path = state_dir / FILE
    try:
        written = json.loads(path.read_bytes())
        endpoints = Endpoints(
            **{field.name: written[field.name] for field in fields(Endpoints) if field.name in written}
        )
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return endpoints if psutil.pid_exists(endpoints.pid) else None
