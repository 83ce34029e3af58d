"""Which cluster is joined, and what is said when there is none."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotify_buddies.trainer.cluster.connect import _find, cluster
from spotify_buddies.trainer.cluster.errors import ClusterError


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `ray start` leaves the address of its cluster."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    path = tmp_path / "ray" / "ray_current_cluster"
    path.parent.mkdir()
    return path


def test_auto_without_a_cluster_starts_one(announced: Path) -> None:
    assert _find("auto") is None


def test_auto_joins_the_cluster_that_was_left_running(announced: Path, listening: str) -> None:
    announced.write_text(listening)
    assert _find("auto") == listening


def test_auto_passes_over_a_cluster_that_is_gone(announced: Path, closed_port: int) -> None:
    announced.write_text(f"127.0.0.1:{closed_port}")
    assert _find("auto") is None


def test_the_variable_of_ray_comes_first(announced: Path, listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    announced.write_text("127.0.0.1:1")
    monkeypatch.setenv("RAY_ADDRESS", listening)
    assert _find("auto") == listening
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert _find("auto") is None


def test_an_address_is_taken_as_it_is(announced: Path, listening: str) -> None:
    assert _find(listening) == listening


def test_an_address_where_nothing_answers_is_said_at_once(announced: Path, closed_port: int) -> None:
    with pytest.raises(ClusterError, match=f"nothing answers at 127.0.0.1:{closed_port}"):
        _find(f"127.0.0.1:{closed_port}")


@pytest.mark.parametrize("address", ["somewhere", "host:", "ray://127.0.0.1:10001"])
def test_what_is_no_address_is_refused(announced: Path, address: str) -> None:
    with pytest.raises(ClusterError, match="neither auto nor HOST:PORT"):
        _find(address)


def test_without_ray_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"install 'spotify-buddies\[cluster\]'"), cluster("auto"):
        pass
