"""Stores of the running service, as its endpoints name them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from spotify_buddies.serve_app.settings.command import CONFIGURED, ENDPOINTS, store_url


def settings(state_dir: Path, written: object = None, **urls: str) -> Any:
    if written is not None:
        (state_dir / ENDPOINTS).write_text(json.dumps(written))
    return SimpleNamespace(**{"state_dir": state_dir, "postgres_url": None, "redis_url": None, **urls})


def test_a_configured_store_comes_before_that_of_the_service(tmp_path: Path) -> None:
    written = {"pid": 1, "postgres": "of the service"}
    assert store_url(settings(tmp_path, written, postgres_url="configured here"), "postgres") == "configured here"
    assert store_url(settings(tmp_path), "postgres") == "of the service"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, "no service runs in"),
        ({"pid": 1, "redis": CONFIGURED}, "set BUDDIES_REDIS_URL for this command too"),
        ({"pid": 1}, "was started by a release that did not note 'redis'; restart it"),
        ({"pid": 1, "redis": None}, "was started by a release that did not note 'redis'; restart it"),
        ({}, "serving.json is not what a service writes (pid: "),
        ([], "serving.json is not what a service writes ("),
        ({"pid": "x"}, "serving.json is not what a service writes (pid: "),
        ({"pid": 1, "redis": 5}, "serving.json is not what a service writes (redis: "),
    ],
)
def test_a_store_that_cannot_be_read_is_said_with_what_to_do(
    tmp_path: Path, written: object, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        store_url(settings(tmp_path, written), "redis")
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert expected in said
