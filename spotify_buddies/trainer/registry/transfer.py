"""Copies of a version in another registry, from staging to production, tagged with their origin."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from spotify_buddies.foundation.addresses import AddressError
from spotify_buddies.trainer.bundle import BundleError, open_bundle
from spotify_buddies.trainer.registry.mlflow_client import connect, first_line, public
from spotify_buddies.trainer.registry.registry import Registry, RegistryError, RegistryUnavailable, VersionInfo

# Tags of a copied version. The data set's fingerprint, the bundle's hash and the metrics are those of every version.
REGISTRY, VERSION, RUN = "copied_from_registry", "copied_from_version", "copied_from_run"


@dataclass(frozen=True)
class Copied:
    """version: its number in the registry that it was copied to. new: False where it was there already."""

    version: str
    source_version: str
    bundle_sha256: str
    new: bool


def copy_version(
    source: Registry, target: Registry, version: str, experiment: str, *, aliases: Sequence[str] = ()
) -> Copied:
    """Copy a version's bundle and point aliases at it; a bundle that the target holds already keeps its version.

    The bundle is checked against the hash that was registered, as it is read and again as the target gives it back.
    experiment: of the target, made if it is not there. RegistryError: no such version, or one that was registered
    without a hash. RegistryUnavailable: one of the two does not answer. BundleError: what one of them holds is not what
    was registered; the aliases are left as they were.
    """
    info = source.get(version)
    if not info.bundle_sha256:
        raise RegistryError(
            f"version {version} at {public(source.uri)} was registered without a hash; register it again"
        )
    there = _find(target, info)
    with tempfile.TemporaryDirectory(prefix="buddies-copy-") as directory:
        number = there or _upload(source, target, info, experiment, Path(directory) / "source")
        back = open_bundle(target.fetch(number, Path(directory) / "target"), check_hashes=False)
        if back.sha256 != info.bundle_sha256:
            raise BundleError(
                f"{public(target.uri)} returned bundle {back.sha256[:12]}; expected {info.bundle_sha256[:12]}"
            )
    for alias in aliases:
        target.set_alias(alias, number)
    return Copied(number, info.number, info.bundle_sha256, new=there is None)


def _find(target: Registry, info: VersionInfo) -> str | None:
    numbers = (one.number for one in target.list_versions() if one.bundle_sha256 == info.bundle_sha256)
    return next(numbers, None)


def _upload(source: Registry, target: Registry, info: VersionInfo, experiment: str, directory: Path) -> str:
    bundle = source.fetch(info.number, directory)
    tags = {
        REGISTRY: public(source.uri),
        VERSION: info.number,
        RUN: info.run_id,
    }
    run_id = finished_run(target, experiment, f"copy-of-{info.number}", tags)
    # With the version from the start: one that was copied always says so.
    return target.register(bundle, run_id, aliases=(), tags=tags)


def finished_run(target: Registry, experiment: str, name: str, tags: dict[str, str]) -> str:
    """A finished run that the artifacts of a version belong to which was not trained there. RegistryUnavailable."""
    from mlflow.exceptions import MlflowException

    try:
        client = connect(target.uri)
        run: Any = client.create_run(_experiment(client, target.uri, experiment), run_name=name, tags=tags)
        client.set_terminated(run.info.run_id, "FINISHED")
    except (MlflowException, OSError, AddressError) as error:
        raise RegistryUnavailable(
            f"MLflow at {public(target.uri)} did not accept the version: {first_line(error, target.uri)}"
        ) from error
    return str(run.info.run_id)


def _experiment(client: Any, uri: str, name: str) -> str:
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    return str(client.create_experiment(name, artifact_location=_artifacts(uri)))


def _artifacts(uri: str) -> str | None:
    """Beside the database, where training puts them; a server decides by itself."""
    parts = urlsplit(uri)
    return (Path(parts.path[1:]).absolute().parent / "artifacts").as_uri() if parts.scheme == "sqlite" else None
