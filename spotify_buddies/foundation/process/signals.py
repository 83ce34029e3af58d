"""Signals that end long work, and the parts of it that no signal may interrupt."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# A terminal that closes sends SIGHUP.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop_as_interrupt() -> None:
    """SIGTERM and SIGHUP raise KeyboardInterrupt as Ctrl-C does; one that is ignored (nohup) stays ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


@contextmanager
def held() -> Iterator[None]:
    """Hold stopping signals back until the block ends; the first one that came is delivered then.

    Outside the main thread, where no signal lands, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda got, _: came.append(got)) for number in STOPPING}
    try:
        yield
    finally:
        _restore(before)
        if came:
            signal.raise_signal(came[0])


def shielded(action: Callable[[], None]) -> None:
    """Run an action to its end, whatever signals arrive. They are ignored only in the main thread, where they land."""
    if threading.current_thread() is not threading.main_thread():
        action()
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPPING}
    try:
        action()
    finally:
        _restore(before)


@contextmanager
def unwinding() -> Iterator[Callable[[], None]]:
    """Let SIGTERM and SIGHUP unwind the block: by the caller's handler where there is one, else as SystemExit.

    Yields a function that puts the handlers back, for after ray.init: Ray installs its own, in C, which ends the
    process.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def install() -> None:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, handler if callable(handler) else leave)

    install()
    try:
        yield install
    finally:
        _restore(before)


def _restore(handlers: dict[signal.Signals, signal._HANDLER]) -> None:
    for number, handler in handlers.items():
        # None stands for a handler in C, which cannot be put back from here.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
