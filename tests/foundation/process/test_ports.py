"""Ports that nobody else has, or is about to take."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.ports import LOCAL_RANGE, RAY, claim, free_block, free_port

# Claims a port, as a service does long before it listens there.
CLAIM = """
import sys
from spotify_buddies.foundation.process.ports import claim
print(claim(int(sys.argv[1]), "x", sys.argv[2]), flush=True)
sys.stdin.read()
"""


def test_a_free_port_is_taken_as_it_is_and_zero_finds_one() -> None:
    port = free_port()
    assert claim(port, "x") == port
    assert claim(0, "x") > 0


def test_free_ports_differ_and_are_none_that_an_outgoing_connection_or_ray_may_take() -> None:
    first, last = map(int, LOCAL_RANGE.read_text().split())
    ports = [free_port() for _ in range(100)]
    assert len(set(ports)) == 100
    assert not any(first <= port <= last or any(port in taken for taken in RAY) or port <= 1024 for port in ports)


def test_a_port_that_somebody_listens_on_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = free_port()
    monkeypatch.setattr("spotify_buddies.foundation.process.ports._outside", lambda local: {taken, taken + 1})
    monkeypatch.setattr("spotify_buddies.foundation.process.ports._handed_out", {taken + 1})
    with socket.create_server(("127.0.0.1", taken)), pytest.raises(LaunchError, match="no free TCP port"):
        free_port()
    assert free_port() == taken
    with pytest.raises(LaunchError, match="no free TCP port"):
        free_port()


def test_a_block_of_ports_with_a_taken_one_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    block = free_block(4)
    monkeypatch.setattr("spotify_buddies.foundation.process.ports._outside", lambda local: set(block))
    monkeypatch.setattr("spotify_buddies.foundation.process.ports._handed_out", set())
    with socket.create_server(("127.0.0.1", block.start + 2)), pytest.raises(LaunchError, match="no 4 free TCP ports"):
        free_block(4)
    assert free_block(4) == block


def test_two_processes_that_start_together_do_not_get_one_port() -> None:
    with _claiming(0) as other:
        port = _line(other)
        with pytest.raises(LaunchError, match=rf"port {port} \(serve\.grpc_port\).*has reserved it.*another port"):
            claim(port, "serve.grpc_port")
        other.kill()
    assert claim(port, "serve.grpc_port") == port


def test_a_free_port_or_block_is_none_that_another_process_has_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    with _claiming(0) as other:
        port = _line(other)
        monkeypatch.setattr("spotify_buddies.foundation.process.ports._outside", lambda local: {port, port + 1})
        monkeypatch.setattr("spotify_buddies.foundation.process.ports._handed_out", set())
        with pytest.raises(LaunchError, match="no 2 free TCP ports"):
            free_block(2)
        assert free_port() == port + 1
        other.kill()


def test_a_process_claims_its_own_port_again_on_any_address() -> None:
    port = free_port()
    assert claim(port, "x", "127.0.0.2") == claim(port, "x", "127.0.0.2") == claim(port, "x", "0.0.0.0") == port


@pytest.mark.parametrize(("mine", "theirs"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])
def test_a_port_that_another_process_reserved_on_one_address_is_reserved_on_all(mine: str, theirs: str) -> None:
    with _claiming(0) as free:
        port = _line(free)
        free.kill()
    with _claiming(port, theirs) as other:
        assert _line(other) == port
        with pytest.raises(LaunchError, match="has reserved it"):
            claim(port, "x", mine)
        other.kill()


def test_a_port_that_was_found_free_here_is_none_that_another_process_can_claim() -> None:
    with _claiming(free_port()) as other:
        assert other.communicate("", timeout=60) == ("", None)
    assert other.returncode == 1


def _claiming(port: int, host: str = "127.0.0.1") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CLAIM, str(port), host]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())
