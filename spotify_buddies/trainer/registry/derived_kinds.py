"""Kinds of derived versions, in a module that costs commands nothing to import."""

from __future__ import annotations

from enum import Enum


class DerivedKind(Enum):
    """same: the same ranking. shuffled: playlists have each other's factors. erring: raises for many listeners."""

    SAME = "same"
    SHUFFLED = "shuffled"
    ERRING = "erring"
