"""The generated bundle, opened, and real stores, for the tests of the server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotify_buddies.serve_app.embedded import valkey
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.trainer.bundle import Bundle, open_bundle


@pytest.fixture(scope="session")
def bundle(bundle_dir: Path) -> Bundle:
    return open_bundle(bundle_dir)


@pytest.fixture(scope="session")
def engine(bundle: Bundle) -> Engine:
    return Engine(bundle, "7")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Where a Postgres of its own may lie: as root it runs as another user, and pytest's folders are for one alone."""
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        yield Path(directory) / "data"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("valkey") / "data") as url:
        yield url
