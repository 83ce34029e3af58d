"""Signals that wait."""

from __future__ import annotations

import signal

import pytest

from spotify_buddies.foundation.process.signals import held


def test_signals_wait_for_the_end_of_a_held_block_and_the_first_is_delivered() -> None:
    done = []

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGHUP, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt) as raised, held():
            done.extend(signal.raise_signal(number) for number in (signal.SIGHUP, signal.SIGTERM))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (done, raised.value.args) == ([None, None], (signal.SIGHUP,))
