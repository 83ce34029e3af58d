"""Strings to codes, so that tracks and listens are held as int32 and not as Python strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy.typing as npt
import polars as pl

Array = npt.NDArray[Any]

_BETWEEN = "\x1f"


class Ids:
    """Distinct ids, numbered from 0 in the order of their first appearance."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def __contains__(self, name: str) -> bool:
        return name in self._codes

    def code(self, name: str) -> int:
        """The code of an id, a new one where it was not seen before."""
        return self._codes.setdefault(name, len(self._codes))

    def add(self, names: Sequence[str]) -> None:
        """Add ids that are new and distinct."""
        self._codes.update(zip(names, range(len(self._codes), len(self._codes) + len(names)), strict=True))

    def codes(self, names: pl.Series) -> Array:
        """The code of every entry of a column without nulls, int32 (rows,)."""
        # A Python call for each distinct id, not for each of millions of listens.
        distinct = names.unique(maintain_order=True)
        known = [self.code(name) for name in distinct.to_list()]
        return names.replace_strict(distinct, pl.Series(known, dtype=pl.Int32), return_dtype=pl.Int32).to_numpy()

    def names(self) -> list[str]:
        """The ids in the order of their codes."""
        return list(self._codes)

    def names_from(self, code: int) -> list[str]:
        """The ids from this code on, in the order of their codes."""
        return list(islice(reversed(self._codes), len(self._codes) - code))[::-1]


class SongNames:
    """Distinct (title, artist) pairs, numbered from `first` in the order of their first appearance."""

    NONE = -1

    def __init__(self, first: int = 0) -> None:
        # The pair is one string: a tuple per song would double the memory of 2.4 million of them.
        self._codes: dict[str, int] = {}
        self._first = first
        self._names: list[str] = []

    def __len__(self) -> int:
        return len(self._names)

    def code(self, title: str | None, artist: str | None) -> int:
        """The code of a song, or NONE where its title or artist is empty: nothing sets it apart from others."""
        pair = f"{title or ''}{_BETWEEN}{artist or ''}"
        code = self._codes.get(pair)
        return self._new(pair, title or "", artist or "") if code is None else code

    @property
    def known(self) -> Mapping[str, int]:
        """Codes by title and artist, the character 31 between them: loops look up here before they call `code`."""
        return self._codes

    def _new(self, pair: str, title: str, artist: str) -> int:
        clean_title, clean_artist = clean(title), clean(artist)
        code = self.NONE
        if clean_title and clean_artist:
            as_it_came = clean_title == title and clean_artist == artist
            name = pair if as_it_came else f"{clean_title}{_BETWEEN}{clean_artist}"
            code = self._codes.setdefault(name, self._first + len(self._names))
            if code == self._first + len(self._names):
                self._names.append(name)
        # The spelling as it came, too: the next one needs no cleaning.
        self._codes[pair] = code
        return code

    def mark(self) -> tuple[int, int]:
        """Where the names stand now, for `rewind`."""
        return len(self._codes), len(self._names)

    def rewind(self, mark: tuple[int, int]) -> None:
        """Forget what was added since the mark: a file that turned out broken leaves nothing behind."""
        while len(self._codes) > mark[0]:
            # A dict gives back what was added last, which is what came after the mark.
            self._codes.popitem()
        del self._names[mark[1] :]

    def table(self) -> tuple[list[str], list[str]]:
        """Titles and artists in the order of their codes."""
        pairs = [name.split(_BETWEEN, 1) for name in self._names]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def clean(text: str) -> str:
    """A name as it is stored: no NUL, no character 31, no half of a surrogate pair, no space at the ends."""
    if text.isprintable():  # which none of these but a space is
        return text.strip()
    text = text.replace("\0", "").replace(_BETWEEN, " ").strip()
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
