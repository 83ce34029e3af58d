"""The bundle of `buddies queue start` while its workers run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer

from spotify_buddies.clients.command.settings import read_settings
from spotify_buddies.clients.main import sections
from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.serve_app.queue import launch
from spotify_buddies.serve_app.queue.start import answer_jobs
from spotify_buddies.serve_app.versions.fetch import Shelf
from spotify_buddies.serve_app.versions.retention import DAY_S, prune
from spotify_buddies.trainer.publish.tracking import track
from spotify_buddies.trainer.registry.registry import Registry
from tests.mlflow_server import mlflow_server


def test_the_bundle_of_workers_is_not_deleted_while_they_run(
    bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Downloaded weeks ago, and named by nothing but them."""
    pruned: list[list[str]] = []

    @contextmanager
    def launched(*_: Any, **__: Any) -> Iterator[None]:
        pruned.append(prune(Shelf("", "", tmp_path / "bundles"), (), 14))
        raise LaunchError("without Ray")
        yield

    monkeypatch.setattr(launch, "launch_workers", launched)
    with mlflow_server(tmp_path) as uri:
        for name, value in {
            "BUDDIES_STATE_DIR": str(tmp_path),
            "BUDDIES_POSTGRES_URL": "postgresql://127.0.0.1:1/x",
            "BUDDIES_REDIS_URL": "redis://127.0.0.1:1/0",
            "MLFLOW_TRACKING_URI": uri,
        }.items():
            monkeypatch.setenv(name, value)
        settings: Any = read_settings(sections())
        registry = Registry(uri, settings.registry.model)
        with track(uri, "buddies", name="r", parameters={}, tags={}) as run:
            version = registry.register(bundle_dir, run.run_id, aliases=("production",))
        downloaded = registry.fetch(version, tmp_path / "bundles")
        assert downloaded == tmp_path / "bundles" / version
        then = time.time() - 20 * DAY_S
        os.utime(downloaded, (then, then))
        with pytest.raises(typer.Exit):
            answer_jobs(settings, "production")
    assert pruned == [[]]
    assert downloaded.is_dir()
