"""Engines that answer as their bundle's writer did, and those that are refused."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.serve_app.generations.state import Load
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.versions.parity import UNCHECKED, check_parity
from spotify_buddies.trainer.bundle import BundleError, open_bundle
from spotify_buddies.trainer.bundle.golden import GOLDEN
from spotify_buddies.trainer.bundle.manifest import describe_files, read_manifest
from tests.serve_app.versions.conftest import Replica, generation


def tamper(directory: Path, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    """Change the golden lists and hash the bundle again: what a kernel that computes wrongly looks like."""
    body = json.loads((directory / GOLDEN).read_bytes())
    change(body)
    (directory / GOLDEN).write_text(json.dumps(body))
    replace(read_manifest(directory), files=describe_files(directory)).write(directory)
    return directory


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda body: body[0]["playlists"].reverse(), "place 1 of golden user"),
        (lambda body: body[1]["playlists"][2].__setitem__(1, 99.0), "its writer 99"),
        (lambda body: body[2].__setitem__("user_id", "nobody-here"), "golden user 'nobody-here' has"),
        (lambda body: body[3]["playlists"].append(["list-1", -99.0]), "place 11 of"),
    ],
)
def test_an_engine_that_answers_otherwise_than_its_writer_is_refused(
    versions: dict[str, Path], tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], said: str
) -> None:
    bundle = open_bundle(tamper(shutil.copytree(versions["1"], tmp_path / "bundle"), change))
    with pytest.raises(BundleError, match=said):
        check_parity(Engine(bundle, "5"))


def test_an_engine_that_answers_as_its_writer_passes_and_one_without_golden_users_says_so(
    versions: dict[str, Path],
) -> None:
    bundle = open_bundle(versions["1"], check_hashes=False)
    assert len(bundle.golden) == 8
    assert check_parity(Engine(bundle, "1")) == ""
    assert check_parity(Engine(replace(bundle, golden=()), "1")) == UNCHECKED


def test_a_version_that_does_not_answer_as_written_is_failed_on_the_replica(
    versions: dict[str, Path], tmp_path: Path
) -> None:
    wrong = tamper(shutil.copytree(versions["2"], tmp_path / "2"), lambda body: body[0]["playlists"].reverse())
    paths = {**versions, "2": wrong}

    async def work() -> None:
        replica = Replica(paths.__getitem__)
        assert not await replica.serve(generation(1, "2"))
        assert replica.table.held["2"].state is Load.FAILED
        assert "does not answer as its writer did" in replica.table.held["2"].message

    asyncio.run(work())
