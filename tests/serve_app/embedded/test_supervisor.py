"""The stores that the service started are started again when they die, by the supervisor that looks after them."""

import os
import signal
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.serve_app.embedded import postgres, valkey
from spotify_buddies.serve_app.embedded.supervisor import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    SETTLED_S,
    Supervised,
    Supervisor,
)
from tests.waiting import wait_until

WITHIN_S = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Dies when told to; refuses to start as often as told to."""

    def __init__(self, refusals: int = 0) -> None:
        self.up = True
        self.refusals = refusals
        self.starts = 0

    def restart(self) -> None:
        self.starts += 1
        if self.starts <= self.refusals:
            raise LaunchError("the disk is full")
        self.up = True


def watched(server: Server) -> tuple[Supervisor, Clock]:
    clock = Clock()
    return Supervisor((LaunchError,), clock, [Supervised("store", lambda: server.up, server.restart)]), clock


def test_a_living_server_is_left_alone() -> None:
    supervisor, _ = watched(server := Server())
    assert (supervisor.look(), server.starts) == ([], 0)


def test_a_dead_server_is_started_at_once() -> None:
    supervisor, _ = watched(server := Server())
    server.up = False
    assert supervisor.look() == ["store had died; started again after 0.0 s"]
    assert (server.up, supervisor.look()) == (True, [])


def test_a_server_that_does_not_start_is_tried_again_after_pauses_that_double() -> None:
    supervisor, clock = watched(server := Server(refusals=2))
    server.up = False
    assert "does not start again: the disk is full; the next attempt is in 0.5 s" in supervisor.look()[0]
    assert supervisor.look() == []
    clock.now += FIRST_PAUSE_S
    assert "the next attempt is in 1 s" in supervisor.look()[0]
    clock.now += 0.9
    assert supervisor.look() == []
    clock.now += 0.1
    assert "started again" in supervisor.look()[0]


def test_pauses_end_growing() -> None:
    supervisor, clock = watched(server := Server(refusals=50))
    server.up = False
    for _ in range(20):
        said = supervisor.look()
        clock.now += LONGEST_PAUSE_S
    assert "the next attempt is in 30 s" in said[0]


def test_a_server_that_ran_well_is_started_at_once_when_it_dies_again() -> None:
    supervisor, clock = watched(server := Server())
    for _ in range(3):
        server.up = False
        supervisor.look()
        clock.now += SETTLED_S + 1
    assert server.starts == 3


def test_an_unexpected_error_is_not_swallowed() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Supervisor((LaunchError,), servers=[Supervised("store", lambda: False, broken)]).look()


def test_a_killed_postgres_is_back_at_its_address_with_its_rows(tmp_path: Path) -> None:
    supervisor = Supervisor((LaunchError,))
    with postgres(tmp_path / "postgres", supervisor) as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        first = int((tmp_path / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(first, signal.SIGKILL)
        (server,) = supervisor.servers
        wait_until(lambda: not server.alive(), "its end")
        wait_until(lambda: bool(supervisor.look()) and server.alive(), "its restart")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT value FROM kept").fetchone() == (7,)
        assert supervisor.look() == []


def test_a_killed_valkey_is_back_at_its_address_and_stops_with_the_block(tmp_path: Path) -> None:
    supervisor = Supervisor((LaunchError,))
    with valkey(tmp_path / "valkey", supervisor) as url:
        with Redis.from_url(url) as redis:
            os.kill(redis.info("server")["process_id"], signal.SIGKILL)
        (server,) = supervisor.servers
        wait_until(lambda: not server.alive(), "its end")
        assert "started again" in supervisor.look()[0]
        with Redis.from_url(url) as redis:
            second = redis.info("server")["process_id"]
            assert redis.ping()
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)
