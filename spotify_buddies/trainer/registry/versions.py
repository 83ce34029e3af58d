"""Registered versions and aliases as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from spotify_buddies.trainer.bundle import Bundle

SHA256_TAG = "bundle_sha256"
# Of a retrained version: the one that it was compared with on the same questions; why it was kept back.
JUDGED_TAG, KEPT_TAG = "retrain.judged_against", "retrain.kept"
_FINGERPRINT, _METRICS = "dataset_fingerprint", "metrics"


@dataclass(frozen=True)
class VersionInfo:
    """One version. number: as MLflow writes it ("3"). created: UTC. metrics: flat, "random/mrr" and so on.

    judged_against: of a retrained version, the number of the one that it was compared with on the same questions. kept:
    why it was kept back. Both empty where they say nothing.
    """

    number: str
    aliases: tuple[str, ...]
    created: datetime
    run_id: str
    dataset_fingerprint: str
    bundle_sha256: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    judged_against: str = ""
    kept: str = ""


@dataclass(frozen=True)
class RegistryAliases:
    """What is set on the registered model: alias -> version number, and tags. Both empty where there is no model."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def tags_of(bundle: Bundle) -> dict[str, str]:
    """The tags that say which bundle a version is; `read_version` reads them."""
    return {
        _FINGERPRINT: bundle.manifest.dataset_fingerprint,
        SHA256_TAG: bundle.sha256,
        _METRICS: json.dumps(dict(bundle.manifest.metrics), sort_keys=True),
    }


def read_version(version: Any, aliases: Mapping[str, str]) -> VersionInfo:
    """A version from MLflow's own object and all aliases of the model."""
    number = str(version.version)
    return VersionInfo(
        number=number,
        aliases=tuple(sorted(alias for alias, target in aliases.items() if target == number)),
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        run_id=version.run_id or "",
        dataset_fingerprint=version.tags.get(_FINGERPRINT, ""),
        bundle_sha256=version.tags.get(SHA256_TAG, ""),
        metrics=json.loads(version.tags.get(_METRICS, "{}")),
        judged_against=version.tags.get(JUDGED_TAG, ""),
        kept=version.tags.get(KEPT_TAG, ""),
    )
