"""`buddies queue start`: workers with one model version, until they are stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.queue.session import POLL_S, CommandSettings
from spotify_buddies.serve_app.settings.command import store_url


def answer_jobs(settings: CommandSettings, alias: str) -> None:
    """Answer jobs with the version that the alias names now; returns when a signal ends it."""
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.foundation.text.pseudonym import read_key
    from spotify_buddies.serve_app.queue.launch import died, launch_workers
    from spotify_buddies.serve_app.settings.services import Services
    from spotify_buddies.serve_app.versions.retention import in_use
    from spotify_buddies.trainer.bundle import BundleError, open_bundle
    from spotify_buddies.trainer.registry.registry import Registry, RegistryError, tracking_uri

    with explained(LaunchError, BundleError, RegistryError):
        key = read_key(settings.state_dir, settings.serve.erasure_key_file)
        services = Services(store_url(settings, "postgres"), store_url(settings, "redis"), erasure_key=key)
        registry = Registry(tracking_uri(settings.state_dir, settings.mlflow_tracking_uri), settings.registry.model)
        version = registry.resolve(alias)
        bundles = settings.state_dir / "bundles"
        bundle = registry.fetch(version.number, bundles).resolve()
        serving = _worker_setup(settings, bundle, version.number, services)
        # A worker that replaces a dead one opens the bundle again, weeks later too.
        with in_use(bundles, bundle):
            open_bundle(bundle)
            with launch_workers(serving, settings.queue, state_dir=settings.state_dir / "queue") as vital:
                say(f"answering jobs of queue {settings.queue.name!r} with version {version.number}; Ctrl-C stops")
                try:
                    while died(vital) is None:
                        time.sleep(POLL_S)
                except (KeyboardInterrupt, SystemExit):
                    say("finishing the running jobs", err=True)
                    return
                raise LaunchError("Ray has died, so the workers were stopped; start them again, no job is lost")


def _worker_setup(settings: CommandSettings, bundle: Path, version: str, services: Any) -> Callable[[], Any]:
    def make() -> Any:
        from spotify_buddies.serve_app.queue.worker import ServiceAnswering, WorkerSetup

        model = settings.registry.model
        return WorkerSetup(settings.serve, str(bundle), version, model, services, ServiceAnswering)

    return make
