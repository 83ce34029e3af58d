"""Registered model versions: bundles in MLflow's registry, and the aliases that say what should serve.

Needs MLflow's client only (mlflow-skinny), no torch: serving uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.addresses import AddressError
from spotify_buddies.trainer.bundle import Bundle, open_bundle
from spotify_buddies.trainer.registry.download import bundle_at
from spotify_buddies.trainer.registry.errors import RegistryError, RegistryUnavailable
from spotify_buddies.trainer.registry.mlflow_client import (
    configure,
    connect,
    default_uri,
    first_line,
    public,
    tracking_uri,
)
from spotify_buddies.trainer.registry.versions import SHA256_TAG, RegistryAliases, VersionInfo, read_version, tags_of

__all__ = [
    "SHA256_TAG",
    "Registry",
    "RegistryAliases",
    "RegistryError",
    "RegistryUnavailable",
    "VersionInfo",
    "default_uri",
    "tracking_uri",
]

# What MLflow answers when it understood the question; everything else means that the registry is not usable now.
_ANSWERS = {"RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE", "BAD_REQUEST"}
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


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
                number = self._create_version(client, bundle, run_id, tags or {})
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
                version = client.get_model_version_by_alias(self.model, alias)
            except _mlflow_exception() as error:
                if error.error_code not in _ABSENT:
                    raise
                raise RegistryError(
                    f"model {self.model!r} has no version with alias {alias!r} at {public(self.uri)}; train one with "
                    f"`buddies train run`, or set the alias with `buddies registry alias {alias} VERSION`"
                ) from None
            return read_version(version, self._aliases(client))

    def get(self, version: str) -> VersionInfo:
        """One version by its number. RegistryError when there is none."""
        with self._client() as client:
            return read_version(self._version(client, version), self._aliases(client))

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version. RegistryError: there is no such version, or the alias is not a valid name."""
        with self._client() as client:
            self._version(client, version)
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

    def read_aliases(self) -> RegistryAliases:
        """All aliases and the model's tags, of one moment."""
        with self._client() as client:
            try:
                model = client.get_registered_model(self.model)
            except _mlflow_exception() as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return RegistryAliases()
            aliases = {str(alias): str(number) for alias, number in model.aliases.items()}
            return RegistryAliases(aliases, {str(name): str(value) for name, value in model.tags.items()})

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
            self._version(client, version)
            for name, value in tags.items():
                client.set_model_version_tag(self.model, version, name, value)

    def fetch(self, version: str, directory: Path) -> Path:
        """The checked bundle of a version on this machine: where it lies if it is local, else directory/version.

        A download is complete or not there; one from before is used again if its hashes still hold. RegistryError: no
        such version. BundleError: what the registry holds is not the bundle that was registered.
        """
        with self._client() as client:
            expected = read_version(self._version(client, version), {}).bundle_sha256
            source = str(client.get_model_version_download_uri(self.model, version))
            return bundle_at(source, directory / version, expected, self.uri)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        configure()
        try:
            yield self._connected()
        except _mlflow_exception() as error:
            reason = first_line(error, self.uri)
            if error.error_code in _ANSWERS:
                raise RegistryError(f"model {self.model!r} at {public(self.uri)}: {reason}") from error
            raise RegistryUnavailable(
                f"the model registry at {public(self.uri)} does not answer: {reason}; check "
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

    def _create_version(self, client: Any, bundle: Bundle, run_id: str, tags: Mapping[str, str]) -> str:
        # A folder of its own: an older bundle of the same run may be mapped by a replica and must not change.
        folder = f"bundle-{bundle.sha256[:12]}"
        client.log_artifacts(run_id, str(bundle.directory), folder)
        source = f"{client.get_run(run_id).info.artifact_uri}/{folder}"
        created = client.create_model_version(self.model, source, run_id, tags={**tags, **tags_of(bundle)})
        return str(created.version)

    def _ensure_model(self, client: Any) -> None:
        try:
            client.create_registered_model(self.model)
        except _mlflow_exception() as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _version(self, client: Any, version: str) -> Any:
        try:
            return client.get_model_version(self.model, version)
        except _mlflow_exception() as error:
            if error.error_code not in _ABSENT:
                raise
            raise RegistryError(
                f"model {self.model!r} has no version {version!r} at {public(self.uri)}; see `buddies registry list`"
            ) from None

    def _versions(self, client: Any) -> list[VersionInfo]:
        aliases, versions, token = self._aliases(client), [], None
        while True:
            page = client.search_model_versions(f"name = '{self.model}'", max_results=200, page_token=token)
            versions += [read_version(version, aliases) for version in page]
            token = page.token
            if not token:
                return sorted(versions, key=lambda version: -int(version.number))

    def _aliases(self, client: Any) -> dict[str, str]:
        try:
            return {
                str(alias): str(number) for alias, number in client.get_registered_model(self.model).aliases.items()
            }
        except _mlflow_exception() as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}


def _mlflow_exception() -> type[Any]:
    from mlflow.exceptions import MlflowException

    exception: type[Any] = MlflowException
    return exception
