"""Starting Ray and the Serve application on this machine, and stopping both without leaving anything behind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from spotify_buddies.foundation.process.children import children, is_alive, name_of
from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.ports import claim
from spotify_buddies.foundation.process.private import make_private
from spotify_buddies.foundation.process.run_dir import RunDir, run_dir
from spotify_buddies.foundation.process.signals import shielded, unwinding
from spotify_buddies.serve_app.runtime.app import REFUSALS, build_app
from spotify_buddies.serve_app.runtime.flags import HAPROXY, HAPROXY_METRICS, STOP_NOTE, applied, flags, write_token
from spotify_buddies.serve_app.runtime.front.rules import Front
from spotify_buddies.serve_app.runtime.front.wrapper import write_wrapper
from spotify_buddies.serve_app.runtime.start import gcs_address, start_application, wait_until_ready
from spotify_buddies.serve_app.runtime.stop import VITAL, drain, keep_logs, once, stop_serving
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services

RUN = "b-"


@dataclass(frozen=True)
class Running:
    """Where the service answers. grpc, ray: host:port; http, dashboard, haproxy_metrics: URLs; stop: idempotent.

    died: the name of a process of Ray's that cannot be done without and is gone, else None; asking is cheap.
    run: its own directory, gone after the stop. logs: where Ray's logs are then.
    version: production at the start. haproxy_metrics: empty without HAProxy.
    """

    grpc: str
    http: str
    dashboard: str
    ray: str
    run: RunDir
    logs: Path
    version: str
    haproxy_metrics: str
    stop: Callable[[], None]
    died: Callable[[], str | None]


@contextmanager
def launch(
    settings: ServeSettings,
    bundle: Path,
    version: str,
    services: Services,
    *,
    state_dir: Path,
    model: str = "organic-playlists",
    rollout: RolloutSettings | None = None,
) -> Iterator[Running]:
    """Serve a bundle, or the generation that is active, until the block ends or a signal arrives.

    rollout: a controller lets it follow what the registry's aliases say.

    SIGINT comes as KeyboardInterrupt, SIGTERM and SIGHUP as what their handlers raise, else SystemExit. LaunchError: a
    port is taken, or Ray does not come up. BundleError: the bundle is refused. What was started is stopped in every
    case. One run per process: Ray Serve reads its switches when it is imported.
    """
    from spotify_buddies.trainer.bundle import open_bundle

    make_private(state_dir)
    settings = _claim_ports(settings)
    # Replicas check again; here a refused bundle ends with one sentence rather than with a replica's stack.
    open_bundle(bundle)
    with ExitStack() as stack:
        put_handlers_back = stack.enter_context(unwinding())
        run = stack.enter_context(run_dir(RUN))
        logs = state_dir / "logs"
        stack.callback(keep_logs, run, logs)
        switches = _prepare(settings, run, write_token(state_dir))
        stack.enter_context(applied(switches))
        processes = _Processes(children())
        drained = partial(drain, settings, run.path / STOP_NOTE)
        # Signals wait while things are torn down: half a shutdown leaves processes behind.
        stop = partial(shielded, once(lambda: stop_serving(processes.others, processes.vital, drained)))
        stack.callback(stop)

        def after_init() -> None:
            processes.note_vital()
            put_handlers_back()  # Ray's own, in C, end this process at once

        app = build_app(settings, bundle.resolve(), version, services, model=model, rollout=rollout)
        start_application(settings, run, app, after_init)
        address, http_address = (f"{settings.host}:{port}" for port in (settings.grpc_port, settings.http_port))
        served = wait_until_ready(address, http_address, None if services.follows_registry else version)
        yield Running(
            grpc=address,
            http=f"http://{http_address}",
            dashboard=f"http://127.0.0.1:{settings.dashboard_port}",
            ray=gcs_address(),
            run=run,
            logs=logs,
            version=served,
            haproxy_metrics=_haproxy_metrics(settings, switches),
            stop=stop,
            died=processes.died,
        )


@dataclass
class _Processes:
    """Processes below this one. others: those that are not Ray's. names: Ray's vital ones, by process."""

    others: set[psutil.Process]
    names: dict[psutil.Process, str] = field(default_factory=dict)

    @property
    def vital(self) -> list[psutil.Process]:
        return list(self.names)

    def note_vital(self) -> None:
        """Now that they run: one that is gone has no name any more."""
        named = {process: name_of(process) for process in children() - self.others}
        self.names.update({process: name for process, name in named.items() if name in VITAL})

    def died(self) -> str | None:
        return next((name for process, name in self.names.items() if not is_alive(process)), None)


def _prepare(settings: ServeSettings, run: RunDir, token: Path) -> dict[str, str]:
    """Write what Ray finds in the run's directory; returns its switches."""
    (run.path / HAPROXY).mkdir(mode=0o700)
    if settings.haproxy:
        write_wrapper(run.path / HAPROXY, token, partial(_front, settings))
    return flags(settings, run, token)


def _haproxy_metrics(settings: ServeSettings, switches: Mapping[str, str]) -> str:
    return f"http://{settings.host}:{switches[HAPROXY_METRICS]}/metrics" if settings.haproxy else ""


def _front(settings: ServeSettings, token_sha256: str, pages: str) -> Front:
    """What the front allows, by what one replica takes on."""
    return Front(
        settings.host,
        token_sha256,
        pages,
        streams=max(1, settings.stream_places // 2),
        connections=settings.max_ongoing_requests + REFUSALS,
        # The replica's own maximum comes first.
        answer_s=math.ceil(settings.request_timeout_s) + 20,
        sockets=pages if settings.http1 else "",
    )


def _claim_ports(settings: ServeSettings) -> ServeSettings:
    ports = {
        "grpc_port": claim(settings.grpc_port, "serve.grpc_port", settings.host),
        "http_port": claim(settings.http_port, "serve.http_port", settings.host),
        "dashboard_port": claim(settings.dashboard_port, "serve.dashboard_port"),
    }
    if len(set(ports.values())) < len(ports):
        raise LaunchError(f"the ports of [serve] must differ, found {ports}")
    return settings.model_copy(update=ports)
