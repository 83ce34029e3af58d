"""Addresses of the running service of a state directory, as `buddies serve start` wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, TypeAdapter

from spotify_buddies.foundation.process.children import still_runs

FILE = "serving.json"
# In place of an address that the settings name: it may hold a password.
CONFIGURED = "configured"
# An address; a service without such a server writes null.
_Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]


@dataclass(frozen=True)
class Endpoints:
    """Addresses of one running service. pid: the process of `buddies serve start`. bundle: the directory it serves.
    started: of the process, as `started_at`; None: an older release did not write it.
    """

    pid: Annotated[int, Field(ge=1, lt=2**31)]
    grpc: _Text
    http: _Text
    dashboard: _Text
    mlflow: _Text
    postgres: _Text
    redis: _Text
    model_version: _Text
    bundle: _Text = ""
    started: float | None = None


_WRITTEN = TypeAdapter(Endpoints)


def running(state_dir: Path) -> Endpoints | None:
    """The service that this state directory runs now.

    None when none does; a crashed one leaves its file behind, and one of another release may lack fields.
    """
    try:
        endpoints = _WRITTEN.validate_json((state_dir / FILE).read_bytes(), strict=True)
    except (FileNotFoundError, ValueError):
        return None
    return endpoints if still_runs(endpoints.pid, endpoints.started) else None
