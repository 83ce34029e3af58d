"""What the commands of this room serve: a bundle, and the stores of the service beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_buddies.serve_app.settings.command import Endpoints, Settings, read_endpoints
from spotify_buddies.serve_app.settings.services import Services

if TYPE_CHECKING:
    from spotify_buddies.trainer.bundle import Bundle

BundleOption = Annotated[
    Path | None, typer.Option("--bundle", help="A bundle's directory; default: what this state directory serves.")
]
PortOption = Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")]
WithParent = Annotated[bool, typer.Option(hidden=True, help="End with the process that started this.")]


@contextmanager
def opened_bundle(settings: Settings, bundle: Path | None) -> Iterator[Bundle]:
    """The bundle of a directory, else that of the service that runs here, else that of the registry's alias."""
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.versions.retention import in_use
    from spotify_buddies.trainer.bundle import BundleError, open_bundle
    from spotify_buddies.trainer.registry.registry import Registry, RegistryError, tracking_uri

    with explained(BundleError, RegistryError, LaunchError):
        served = served_here(settings)
        directory = bundle or (Path(served.bundle) if served is not None and served.bundle else None)
        if directory is None:
            if settings.mlflow_tracking_uri is None and not (settings.state_dir / "mlflow").exists():
                raise BundleError(
                    f"nothing is served or registered in {settings.state_dir}; name a bundle with --bundle"
                )
            registry = Registry(tracking_uri(settings.state_dir, settings.mlflow_tracking_uri), settings.registry.model)
            number = registry.resolve(settings.serve.alias).number
            directory = registry.fetch(number, settings.state_dir / "bundles")
        with in_use(settings.state_dir / "bundles", directory):
            yield open_bundle(directory, check_hashes=False)


def served_here(settings: Settings) -> Endpoints | None:
    """The endpoints of this state directory's service; None where none runs. LaunchError: they cannot be read."""
    return read_endpoints(settings.state_dir)


def stores(settings: Settings) -> Services:
    """Postgres and Redis: as configured, else those of the service that runs here, else none."""
    served = served_here(settings)
    own = (None, None) if served is None else (served.postgres, served.redis)
    return Services(settings.postgres_url or own[0], settings.redis_url or own[1])


def version_of(settings: Settings, bundle: Bundle, given: str = "") -> str:
    """The version that answers name: the given one, else that of the service that runs here, else of the bundle."""
    served = served_here(settings)
    return given or ((served and served.model_version) or bundle.sha256[:12])
