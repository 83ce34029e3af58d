"""Kinds of derived versions; light to import for commands."""

from __future__ import annotations

from enum import Enum


class DerivedKind(Enum):
    """same: the same ranking. shuffled: playlists have each other's factors. erring: NaN for every second user."""

    SAME = "same"
    SHUFFLED = "shuffled"
    ERRING = "erring"
