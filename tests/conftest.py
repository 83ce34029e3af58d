"""The generated bundle that several rooms serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serve_app.bundles import make_bundle


@pytest.fixture(scope="session")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the generated bundle, written once and only read."""
    return make_bundle(tmp_path_factory.mktemp("bundle"))
