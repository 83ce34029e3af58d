"""A registry without versions, and the tiny bundle on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from spotify_buddies.trainer.bundle import Bundle, BundleParts, write_bundle
from spotify_buddies.trainer.registry.mlflow_client import default_uri
from spotify_buddies.trainer.registry.registry import Registry

MODEL = "organic-playlists"


@pytest.fixture
def bundle(bundle_parts: BundleParts, tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle", bundle_parts)


@pytest.fixture
def registry(mlflow_state: Path) -> Registry:
    return Registry(default_uri(mlflow_state), MODEL)
