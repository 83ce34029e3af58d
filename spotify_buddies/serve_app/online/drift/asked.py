"""Genres asked for, from the requests that are stored with the lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from google.protobuf.message import DecodeError, Message

from spotify_buddies.serve_app.online.drift.signals import Counted, Signal

# Names that a request's field for genres may have.
_FIELDS = ("genres", "genre")
_NONE, _UNREADABLE = "none", "unreadable"


def count_asked(kind: type[Message], days: int, asked: Sequence[tuple[int, bytes, int]]) -> Counted:
    """Genres that requests of this kind asked for, per list. asked: (day, serialized request, lists).

    Not measured where the request has no field for a genre or no list says what was asked.
    """
    signal, entries = Signal.GENRES_ASKED, "lists"

    def unmeasured(why: str) -> Counted:
        return Counted(signal, entries, (), np.zeros((days, 0)), unmeasured=why)

    field = next((name for name in _FIELDS if name in kind.DESCRIPTOR.fields_by_name), None)
    if field is None:
        return unmeasured("a request has no field for a genre")
    if not asked:
        return unmeasured("no list says what was asked")
    named = [(day, name, lists) for day, request, lists in asked for name in _genres(kind, field, request)]
    names = tuple(sorted({name for _, name, _ in named}))
    found = np.zeros((days, len(names)), np.int64)
    for day, name, lists in named:
        found[day, names.index(name)] += lists
    return Counted(signal, entries, names, found)


def _genres(kind: type[Message], field: str, request: bytes) -> list[str]:
    message = kind()
    try:
        message.ParseFromString(request)
    except DecodeError:
        return [_UNREADABLE]
    value = getattr(message, field)
    if isinstance(value, (str, int)):
        return [str(value) or _NONE]
    return sorted(map(str, value)) or [_NONE]
