"""Traffic from a process of its own: its calls are sent and timed without waiting for what else the drill does."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from spotify_buddies.clients.drills.framework.service import DrillError
from spotify_buddies.clients.drills.framework.traffic import Call, Mix, Traffic, Users

# How often the process hands over what has ended.
HAND_OVER_S = 0.1
END_WITHIN_S = 60.0


class TrafficApart(Traffic):
    """As Traffic, without credentials: `calls` grow a moment after they have ended, `acknowledged` not at all.

    Threads of one process share Python's lock: a drill that reads a registry or its replicas' memory would delay calls
    by milliseconds, and its own garbage collection by more, which the service would be blamed for.
    """

    @contextmanager
    def running(self) -> Iterator[Traffic]:
        """As Traffic.running. DrillError: the process has died."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self._address, self._users, self.rate, self._mix, self._options)
        process = context.Process(target=_call, args=arguments, name="traffic", daemon=True)
        process.start()
        theirs.close()
        reader = threading.Thread(target=self._read, args=(ours,), name="traffic reader")
        reader.start()
        try:
            yield self
        finally:
            _end(ours)
            process.join(END_WITHIN_S)
            if process.is_alive():
                process.terminate()
                process.join()
            reader.join()
        if process.exitcode != 0:
            raise DrillError(f"the process that makes the calls ended with {process.exitcode}; see what it printed")

    def _read(self, connection: Connection) -> None:
        try:
            while True:
                ended: list[Call] = connection.recv()
                self.calls.extend(ended)
        except (EOFError, OSError):
            connection.close()


def _end(connection: Connection) -> None:
    """Ask the process to end its calls; it may have died."""
    try:
        connection.send(None)
    except OSError:
        return


def _call(connection: Connection, address: str, users: Users, rate: float, mix: Mix, options: dict[str, Any]) -> None:
    """Make calls until the other side says something, or is gone."""
    # Ctrl-C reaches the drill too, which ends its traffic in its own time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    traffic, sent = Traffic(address, users, rate, mix=mix, **options), 0
    with traffic.running():
        while not connection.poll(HAND_OVER_S):
            new = traffic.calls[sent:]
            sent += len(new)
            connection.send(new)
    connection.send(traffic.calls[sent:])
    connection.close()
