"""Rules of a list, and what of it is drawn at random."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr

Array = npt.NDArray[Any]

# How an Exploration is remembered: policy, its parameter, top.
_FORM = struct.Struct("<BdH")
# The field that it is remembered in, beside those of a RecommendRequest: of the numbers that no message may use.
FIELD = 19_000
_HEAD = bytes((FIELD << 3 & 127 | 2 | 128, FIELD << 3 >> 7 & 127 | 128, FIELD << 3 >> 14, _FORM.size))


class Policy(IntEnum):
    """How a place is drawn; the numbers are stored with lists."""

    EPSILON = 1
    PLACKETT_LUCE = 2


@dataclass(frozen=True)
class Exploration:
    """How every place of a list is drawn from the `top` best playlists that the rules admit there.

    parameter: of EPSILON the probability, above 0 and at most 1, that the place is drawn evenly, and not given to the
    best; of PLACKETT_LUCE the temperature, above 0, in units of what orders the list (Plackett 1975; Luce 1959).
    """

    policy: Policy
    parameter: float
    top: int

    @cached_property
    def field(self) -> bytes:
        """A field of bytes, FIELD, as protobuf writes it, 15 bytes."""
        return _HEAD + _FORM.pack(self.policy, self.parameter, self.top)

    @classmethod
    def read(cls, data: bytes) -> Exploration:
        """The same again, from what `field` holds. ValueError: another release wrote it."""
        try:
            policy, parameter, top = _FORM.unpack(data)
        except struct.error as error:
            raise ValueError(f"an exploration has {_FORM.size} bytes, not {len(data)}") from error
        return cls(Policy(policy), parameter, top)


@dataclass(frozen=True)
class Draws:
    """The draws of n lists. seeds uint64 (n,): a list depends on its own alone."""

    exploration: Exploration
    seeds: Array

    @classmethod
    def of(cls, exploration: Exploration, drawn: bytes) -> Draws:
        """Seeded by the bytes of recommendation ids (encoding.draw_ids), so that each list can be drawn again."""
        halves = np.frombuffer(drawn, "<u8").reshape(-1, 2)
        return cls(exploration, halves[:, 0] ^ halves[:, 1])

    @property
    def columns(self) -> tuple[int, float, int, Array]:
        """As kernels.explore takes them."""
        how = self.exploration
        return int(how.policy), how.parameter, how.top, self.seeds


@dataclass(frozen=True)
class Rules:
    """Rules of a list, beside what is excluded for everybody.

    blocked: playlist rows that must not come back, users x playlists, ascending; None: none for anybody.
    max_per_owner: playlists of one owner in one list. max_song_overlap: a playlist with a larger share of songs in
    common with a better one of the list is left out, and max_song_containment: one of which a larger share of the
    smaller's songs is in the other; 1 leaves nothing out. adventurous: 0 the model's order, 1 the least known of the
    candidates. calibration: weight of a list's genres being in the proportions of the user's songs; 0: none. hidden:
    places of users who are taken for unknown, whatever the version knows of them. draws: what is drawn at random, one
    seed per user; None: every place goes to the best.
    """

    blocked: Csr | None = None
    max_per_owner: int = 100
    max_song_overlap: float = 1.0
    max_song_containment: float = 1.0
    adventurous: float = 0.0
    calibration: float = 0.0
    hidden: Sequence[int] = ()
    draws: Draws | None = None

    def take(self, places: Array) -> Rules:
        """The rules of the users at these places alone; `hidden` is left as it is."""
        blocked, draws = self.blocked, self.draws
        return replace(
            self,
            blocked=None if blocked is None else blocked.take(places),
            draws=None if draws is None else replace(draws, seeds=draws.seeds[places]),
        )
