"""Whose clusters are joined, and where Ray's agent listens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ray._private.parameter import RayParams

from spotify_buddies.foundation.process.local_ray import announced_address, free_agent_port
from tests.strangers import NOBODY


@pytest.fixture
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir(exist_ok=True)
    return tmp_path / "ray" / "ray_current_cluster"


def test_a_cluster_that_this_user_announced_is_joined(note: Path) -> None:
    assert announced_address() == ""
    note.write_text("127.0.0.1:6379\n")
    assert announced_address() == "127.0.0.1:6379"


def test_a_cluster_that_anybody_may_have_announced_is_not(note: Path) -> None:
    note.write_text("127.0.0.1:6379")
    note.chmod(0o666)
    assert announced_address() == ""


def test_a_cluster_that_a_stranger_announced_is_not(note: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can write as another user")
    note.write_text("127.0.0.1:6379")
    os.chown(note, NOBODY, NOBODY)
    assert announced_address() == ""
    note.rename(note.with_name("theirs"))
    note.symlink_to("theirs")
    assert announced_address() == ""


def test_the_agents_port_is_free_within_the_block_alone() -> None:
    before = RayParams().dashboard_agent_listen_port
    with free_agent_port():
        assert RayParams().dashboard_agent_listen_port == 0
    assert RayParams().dashboard_agent_listen_port == before == 52_365
