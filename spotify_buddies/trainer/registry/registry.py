"""Registered model versions: bundles in MLflow's registry, and the aliases that say what should serve.

Needs MLflow's client only (mlflow-skinny), no torch: serving uses it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from spotify_buddies.foundation.addresses import AddressError
from spotify_buddies.trainer.bundle import BundleError, open_bundle
from spotify_buddies.trainer.registry.mlflow_client import (
    configure,
    connect,
    default_uri,
    first_line,
    public,
    tracking_uri,
)

__all__ = [
    "Desired",
    "Registry",
    "RegistryError",
    "RegistryUnavailable",
    "VersionInfo",
    "default_uri",
    "tracking_uri",
]

SHA256_TAG = "bundle_sha256"
_FINGERPRINT, _METRICS = "dataset_fingerprint", "metrics"
# What MLflow answers when it understood the question; everything else means that the registry is not usable now.
_ANSWERS = {"RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE", "BAD_REQUEST"}
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


class RegistryError(Exception):
    """The registry has no such thing, or refuses; the message names model and alias or version, and what to do."""


class RegistryUnavailable(RegistryError):
    """The registry did not answer within its time, or failed. What is loaded can go on serving."""


@dataclass(frozen=True)
class VersionInfo:
    """One version. number: as MLflow writes it ("3"). created: UTC. metrics: flat, "random/mrr" and so on."""

    number: str
    aliases: tuple[str, ...]
    created: datetime
    run_id: str
    dataset_fingerprint: str
    bundle_sha256: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Desired:
    """What is set on the registered model: alias -> version number, and tags. Both empty where there is no model."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class Registry:
    """The registered model `model` at an MLflow address (http(s):// or a database URI)."""

    def __init__(self, uri: str, model: str) -> None:
        self.uri, self.model = uri, model
        self._opened: Any = None

    def register(
        self,
        bundle_dir: Path,
        run_id: str,
        *,
        aliases: Sequence[str] = ("production",),
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Store a bundle as an artifact of a run and make it a version; point the aliases at it. Returns its number.

        A bundle that is registered already keeps its version, so that this can be repeated. tags: of a new version,
        beside those that say what it is. BundleError: the bundle is broken. RegistryUnavailable: MLflow does not
        answer.
        """
        bundle = open_bundle(bundle_dir)
        with self._client() as client:
            self._ensure_model(client)
            number = next((v.number for v in self._versions(client) if v.bundle_sha256 == bundle.sha256), None)
            if number is None:
                # A folder of its own: an older bundle of the same run may be mapped by a replica and must not change.
                folder = f"bundle-{bundle.sha256[:12]}"
                client.log_artifacts(run_id, str(bundle_dir), folder)
                source = f"{client.get_run(run_id).info.artifact_uri}/{folder}"
                own = {
                    _FINGERPRINT: bundle.manifest.dataset_fingerprint,
                    SHA256_TAG: bundle.sha256,
                    _METRICS: json.dumps(dict(bundle.manifest.metrics), sort_keys=True),
                }
                number = str(
                    client.create_model_version(self.model, source, run_id, tags={**(tags or {}), **own}).version
                )
            for alias in aliases:
                client.set_registered_model_alias(self.model, alias, number)
        return number

    def list_versions(self) -> list[VersionInfo]:
        """All versions, newest first; empty when nothing is registered."""
        with self._client() as client:
            return self._versions(client)

    def resolve(self, alias: str) -> VersionInfo:
        """The version that an alias points at. RegistryError when there is none."""
        with self._client() as client:
            try:
                found = client.get_model_version_by_alias(self.model, alias)
            except _mlflow_exception() as error:
                if error.error_code not in _ABSENT:
                    raise
                raise RegistryError(
                    f"model {self.model!r} has no version with alias {alias!r} at {public(self.uri)}; train one with "
                    f"`buddies train run`, or set the alias with `buddies registry alias {alias} VERSION`"
                ) from None
            return self._info(found, self._aliases(client))

    def get(self, version: str) -> VersionInfo:
        """One version by its number. RegistryError when there is none."""
        with self._client() as client:
            return self._info(self._find(client, version), self._aliases(client))

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version. RegistryError: there is no such version, or the alias is not a valid name."""
        with self._client() as client:
            self._find(client, version)
            try:
                client.set_registered_model_alias(self.model, alias, version)
            except _mlflow_exception() as error:
                if error.error_code not in _ANSWERS:
                    raise
                raise RegistryError(
                    f"alias {alias!r} of model {self.model!r}: {first_line(error, self.uri)}"
                ) from error

    def delete_alias(self, alias: str) -> None:
        """Take an alias off the model; nothing happens where there is none."""
        with self._client() as client:
            if alias in self._aliases(client):
                client.delete_registered_model_alias(self.model, alias)

    def desired(self) -> Desired:
        """All aliases and the model's tags, of one moment."""
        with self._client() as client:
            try:
                found = client.get_registered_model(self.model)
            except _mlflow_exception() as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return Desired()
            aliases = {str(alias): str(number) for alias, number in found.aliases.items()}
            return Desired(aliases, {str(name): str(value) for name, value in found.tags.items()})

    def tag_model(self, name: str, value: str | None) -> None:
        """Set a tag of the model; None deletes it, and nothing happens where there is none."""
        with self._client() as client:
            if value is not None:
                client.set_registered_model_tag(self.model, name, value)
            elif name in client.get_registered_model(self.model).tags:
                client.delete_registered_model_tag(self.model, name)

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version, beside those that `register` sets. RegistryError when there is no such version."""
        with self._client() as client:
            self._find(client, version)
            for name, value in tags.items():
                client.set_model_version_tag(self.model, version, name, value)

    def fetch(self, version: str, directory: Path) -> Path:
        """The checked bundle of a version on this machine: where it lies if it is local, else directory/version.

        A download is complete or not there; one from before is used again if its hashes still hold. RegistryError: no
        such version. BundleError: what the registry holds is not the bundle that was registered.
        """
        with self._client() as client:
            expected = self._info(self._find(client, version), {}).bundle_sha256
            source = str(client.get_model_version_download_uri(self.model, version))
            if (local := _local_path(source)) is not None:
                return _checked(local, expected)
            target = directory / version
            if target.exists():
                try:
                    return _checked(target, expected)
                except BundleError:
                    shutil.rmtree(target)
            self._download(source, target, expected)
            return target

    def _download(self, source: str, target: Path, expected: str) -> None:
        configure()
        from mlflow.artifacts import download_artifacts

        partial = target.parent / f".{target.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        fetched = Path(download_artifacts(artifact_uri=source, dst_path=str(partial), tracking_uri=self.uri))
        _checked(fetched, expected)
        fetched.replace(target)
        shutil.rmtree(partial, ignore_errors=True)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        configure()
        try:
            yield self._connected()
        except _mlflow_exception() as error:
            told = first_line(error, self.uri)
            if error.error_code in _ANSWERS:
                raise RegistryError(f"model {self.model!r} at {public(self.uri)}: {told}") from error
            raise RegistryUnavailable(
                f"the model registry at {public(self.uri)} does not answer: {told}; check "
                "MLFLOW_TRACKING_URI and that the server runs"
            ) from error

    def _connected(self) -> Any:
        if self._opened is None:
            try:
                self._opened = connect(self.uri)
            except AddressError as error:
                raise RegistryError(f"the model registry's address cannot be used: {error}") from None
            except OSError as error:  # a SQLite file whose folder cannot be made
                raise RegistryUnavailable(
                    f"the model registry at {public(self.uri)} cannot be opened: {first_line(error, self.uri)}"
                ) from error
        return self._opened

    def _ensure_model(self, client: Any) -> None:
        try:
            client.create_registered_model(self.model)
        except _mlflow_exception() as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _find(self, client: Any, version: str) -> Any:
        try:
            return client.get_model_version(self.model, version)
        except _mlflow_exception() as error:
            if error.error_code not in _ABSENT:
                raise
            raise RegistryError(
                f"model {self.model!r} has no version {version!r} at {public(self.uri)}; see `buddies registry list`"
            ) from None

    def _versions(self, client: Any) -> list[VersionInfo]:
        aliases, found, token = self._aliases(client), [], None
        while True:
            page = client.search_model_versions(f"name = '{self.model}'", max_results=200, page_token=token)
            found += [self._info(version, aliases) for version in page]
            token = page.token
            if not token:
                return sorted(found, key=lambda version: -int(version.number))

    def _aliases(self, client: Any) -> dict[str, str]:
        try:
            return {
                str(alias): str(number) for alias, number in client.get_registered_model(self.model).aliases.items()
            }
        except _mlflow_exception() as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}

    def _info(self, version: Any, aliases: Mapping[str, str]) -> VersionInfo:
        number = str(version.version)
        return VersionInfo(
            number=number,
            aliases=tuple(sorted(alias for alias, target in aliases.items() if target == number)),
            created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
            run_id=version.run_id or "",
            dataset_fingerprint=version.tags.get(_FINGERPRINT, ""),
            bundle_sha256=version.tags.get(SHA256_TAG, ""),
            metrics=json.loads(version.tags.get(_METRICS, "{}")),
        )


def _checked(directory: Path, expected: str) -> Path:
    found = open_bundle(directory).sha256
    if expected and found != expected:
        raise BundleError(
            f"{directory}: bundle {found[:12]}, but {expected[:12]} was registered; register the bundle again"
        )
    return directory


def _local_path(source: str) -> Path | None:
    parts = urlsplit(source)
    if parts.scheme not in ("", "file"):
        return None
    path = Path(url2pathname(parts.path))
    return path if path.is_dir() else None


def _mlflow_exception() -> type[Any]:
    from mlflow.exceptions import MlflowException

    found: type[Any] = MlflowException
    return found
