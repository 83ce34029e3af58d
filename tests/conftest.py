"""The generated bundle that several rooms serve, and how Hypothesis draws its examples in all of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.serve_app.bundles import make_bundle

# The same examples in every run, however long one takes: a kernel may be compiled in it, on a busy machine.
settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture(scope="session")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the generated bundle, written once and only read."""
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A Postgres of its own for all tests of the run; who uses it makes the schema anew."""
    from spotify_buddies.serve_app.embedded import postgres

    with tempfile.TemporaryDirectory(prefix="pg-") as directory, postgres(Path(directory) / "data") as url:
        yield url
