"""The one rule for ids of users, playlists, songs and calls, wherever one comes in.

An id is text that UTF-8 can hold, 1 to 128 bytes of it, without control characters (U+0000 to U+001F, U+007F to U+009F)
and without the line and paragraph separators (U+2028, U+2029). So Postgres can keep every id (it has no NUL), no id
equals another one after a store has normalised it, and ids can be written one a line. A lone surrogate has no UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

ID_BYTES = 128
# What the refused characters above U+001F begin with in UTF-8, and few other characters of ids. Python looks for one
# byte a hundred times faster than for two.
_LEADS = (b"\x7f", b"\xc2", b"\xe2")
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Up to so many, Python's own checks are done before numpy's.
_FEW = 64


def fault(value: str, *, least: int = 1, most: int = ID_BYTES) -> str:
    """The part of the rule that a value breaks, as in "is 0 bytes, must be 1 to 128"; empty for an id.

    least, most: bytes.
    """
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        return f"holds half of a surrogate pair (U+{ord(value[error.start]):04X}), which UTF-8 cannot"
    if not least <= size <= most:
        return f"is {size:,} bytes, must be {least} to {most}"
    control = _REFUSED.search(value)
    return f"holds the control character U+{ord(control[0]):04X}" if control else ""


def is_id(value: str) -> bool:
    """Whether `fault` finds nothing."""
    # A character takes at most 4 bytes; no control character and no lone surrogate can be printed.
    return (value.isprintable() and 1 <= len(value) <= (ID_BYTES if value.isascii() else ID_BYTES // 4)) or not fault(
        value
    )


def are_ids(values: Sequence[str]) -> bool:
    """Whether all are ids; True for none. Many together take a fifth of the time that they take one by one."""
    return (len(values) > _FEW and _are_plain(values)) or all(map(is_id, values))


def may_hold_refused(data: bytes) -> bool:
    """Whether UTF-8 text may hold a refused character from U+007F on, judged by a fast look at its bytes."""
    return any(lead in data for lead in _LEADS)


def _are_plain(values: Sequence[str]) -> bool:
    """True: all are ids, as their bytes with a line end around each show; False: look at them one by one."""
    try:
        data = "\n".join(("", *values, "")).encode()
    except UnicodeEncodeError:
        return False
    # Each end that was put in is one of these; so if there are no more, nothing else is.
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) < 0x20)
    if ends.size != len(values) + 1 or (may_hold_refused(data) and not "".join(values).isprintable()):
        return False
    sizes = ends[1:] - ends[:-1] - 1
    return bool(sizes.min() >= 1 and sizes.max() <= ID_BYTES)
