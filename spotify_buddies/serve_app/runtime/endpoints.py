"""Addresses of a running service, for commands, Prometheus and people."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from spotify_buddies.foundation.addresses import AddressKind, masked
from spotify_buddies.foundation.process.children import started_at
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.embedded.tracking import TOKEN as MLFLOW_TOKEN
from spotify_buddies.serve_app.runtime.flags import TOKEN
from spotify_buddies.serve_app.runtime.launch import Running
from spotify_buddies.serve_app.settings.command import CONFIGURED, ENDPOINTS, HAPROXY_TARGETS, Settings
from spotify_buddies.serve_app.settings.services import Services

# Ray's list of its own targets, without HAProxy, in what it was given as its temporary directory.
RAY_TARGETS = "prom_metrics_service_discovery.json"


def announce(
    settings: Settings, running: Running, services: Services, version: str, bundle: Path, follows: str, pid: int
) -> None:
    """Write where everything listens, for the other commands, and say it; no configured address, which is a secret.

    follows: the alias whose rollouts are followed, or none. pid: the process that others stop.
    """
    state_dir = settings.state_dir.resolve()
    endpoints: dict[str, object] = {
        "pid": pid,
        "started": started_at(pid),
        "grpc": running.grpc,
        "http": running.http,
        "dashboard": running.dashboard,
        "mlflow": CONFIGURED if settings.mlflow_tracking_uri else services.mlflow_uri or "",
        "postgres": CONFIGURED if settings.postgres_url else services.postgres_url,
        "redis": CONFIGURED if settings.redis_url else services.redis_url,
        "model_version": version,
        "bundle": str(bundle.resolve()),
        "follows": follows,
        "ray": running.ray,
        "run": str(running.run.path),
        "ray_token": str(state_dir / TOKEN),
        "ray_metrics_targets": str(running.run.public / RAY_TARGETS),
        "haproxy_metrics": running.haproxy_metrics,
    }
    if running.haproxy_metrics:
        target = {"labels": {"job": "haproxy"}, "targets": [urlsplit(running.haproxy_metrics).netloc]}
        _write(state_dir / HAPROXY_TARGETS, [target])
    _write(state_dir / ENDPOINTS, endpoints)
    _say(endpoints, state_dir)
    if settings.mlflow_tracking_uri is None and services.mlflow_uri:
        address = masked(services.mlflow_uri, AddressKind.MLFLOW)
        say(f"MLflow {address}, its password is in {state_dir / MLFLOW_TOKEN}")


def _say(endpoints: dict[str, object], state_dir: Path) -> None:
    say(f"serving version {endpoints['model_version']} over gRPC at {endpoints['grpc']}; Ctrl-C stops everything")
    say(f"Ray dashboard {endpoints['dashboard']}, its token is in {endpoints['ray_token']}")
    targets = [str(endpoints["ray_metrics_targets"])]
    if endpoints["haproxy_metrics"]:
        targets.append(str(state_dir / HAPROXY_TARGETS))
    say(f"metrics targets for Prometheus: {' and '.join(targets)}, with the same token")


def _write(path: Path, body: object) -> None:
    """Whole or not at all, and for this user alone: addresses may hold passwords."""
    partial = path.with_name(f".{path.name}.partial")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(body, indent=1))
    partial.replace(path)
