"""Addresses of what the service stores into and reads from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Services:
    """Addresses of what the service stores into and reads from; None: there is none.

    mlflow_uri: the registry. bundles: where its versions lie on this machine; None: one version is served, whatever the
    registry says, and its address is for people. erasure_key: of the hashes of erased listeners. state_dir: where the
    extracts lie; None: there are none.
    """

    # Addresses may hold passwords: they are not part of what is printed of a Services.
    postgres_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    mlflow_uri: str | None = field(default=None, repr=False)
    bundles: Path | None = None
    erasure_key: bytes | None = field(default=None, repr=False, compare=False)
    state_dir: Path | None = field(default=None, compare=False)

    @property
    def follows_registry(self) -> bool:
        """Whether versions may be wanted later: there are a registry, a place for its bundles, and a Postgres."""
        return None not in (self.mlflow_uri, self.bundles, self.postgres_url)
