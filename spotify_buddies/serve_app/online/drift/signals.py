"""The signals of drift: what is counted, per day and bin, and what each is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


class Against(StrEnum):
    """What a signal is compared with: the last day with the days before the window, by weekday; the window with the
    week before; how far the window is from what the version was trained on, with how far the week before was.
    """

    DAY = "day"
    WEEK = "week"
    TRAINING = "training"


class Signal(StrEnum):
    """The signals, as reports and the table drift_checks name them."""

    COLD_USERS = "cold_users"
    SOURCES = "sources"
    LIBRARY_SIZES = "library_sizes"
    GENRES_ASKED = "genres_asked"
    GENRES_SHOWN = "genres_shown"
    SCORES = "scores"
    SKIPPED_STEPS = "skipped_steps"
    UNKNOWN_SONGS = "unknown_songs"
    FEEDBACK_VOLUME = "feedback_volume"
    LIKE_RATE = "like_rate"


_RECENT = (Against.DAY, Against.WEEK)
# Signals whose bins are the bundle's, and those of them that its training data are a reference for.
TRAINED = (Signal.LIBRARY_SIZES, Signal.GENRES_SHOWN, Signal.SCORES, Signal.GENRES_ASKED)
OF_BUNDLE = (*TRAINED, Signal.UNKNOWN_SONGS)
COMPARED = {**dict.fromkeys(Signal, _RECENT), **dict.fromkeys(TRAINED, (*_RECENT, Against.TRAINING))}
# The tests of one check, over which the false alarms are spread.
TESTS = sum(map(len, COMPARED.values()))
# Where only one direction is bad: the share of the first bin rises (1) or falls (-1).
BAD_DIRECTION = {Signal.COLD_USERS: 1, Signal.SKIPPED_STEPS: 1, Signal.UNKNOWN_SONGS: 1, Signal.LIKE_RATE: -1}


@dataclass(frozen=True)
class Counted:
    """A signal as it was counted.

    bins: names. days: entries, int64 (days, bins), oldest day first, the window's days last. entries: what an entry is,
    in the plural. reference: entries of the same bins in the training data, (bins,); None: `why` says why not.
    unmeasured: why there is nothing to count, "" where there is; then bins are none.
    """

    signal: Signal
    entries: str
    bins: tuple[str, ...]
    days: Array
    reference: Array | None = None
    why: str = ""
    unmeasured: str = ""
